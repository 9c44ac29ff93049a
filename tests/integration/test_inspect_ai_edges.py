"""How tasks of Inspect AI can end, each by a real run, and the events that tell of it."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from tests.helpers.inspect_run import QUICKSTART, InspectProcess, InspectResult
from tests.helpers.recording_bus import Json, RecordingBus

# One process for all cases: importing Inspect takes longer than all of them together.
SCRIPT = f"""
import runpy
from inspect_ai import eval_set
from inspect_ai.scorer import Score, mean, metric, scorer

quickstart = runpy.run_path({str(QUICKSTART)!r})
doubling, answer, get_model = (quickstart[n] for n in ("doubling", "answer", "get_model"))
eval = quickstart["eval"]
model = get_model("mockllm/model", custom_outputs=answer)

@scorer(metrics=[mean()])
def odd():
    async def score(state, target):
        if state.sample_id == 1:
            raise ValueError("NUL \\x00 inside")
        return Score(value=float("nan"))
    return score

@metric
def crashing():
    def compute(scores):
        raise ZeroDivisionError("no samples of that kind")
    return compute

@scorer(metrics=[crashing()])
def crashing_score():
    async def score(state, target):
        return Score(value=1)
    return score

def scored_by(name, scorer, **options):
    task = doubling(name, 0.01, **options)
    task.scorer = [scorer]
    return task

eval([doubling("doomed", 0.01, broken=(12,)), doubling("next", 0.05)], model=model, max_tasks=1)
eval(doubling("tolerated", 0.01, fail_on_error=0.5, broken=(3, 4)), model=model)
eval(doubling("share", 0.01, broken=(3, 4)), model=model, fail_on_error=0.1)
eval(doubling("number", 0.01, broken=(3, 4)), model=model, fail_on_error=2)
eval(doubling("late", 0.01, broken=(3, 4)), model=model, fail_on_error=2, continue_on_fail=True)
eval(scored_by("odd", odd(), fail_on_error=False), model=model, limit=2, epochs=2)
# Else its metric is computed, and crashes, as soon as a display wants to show it.
eval(scored_by("crash", crashing_score()), model=model, score_display=False)
eval_set([doubling("again", 0.01, flaky=20)], log_dir="set", model=model, retry_attempts=2,
         retry_wait=0.1)
"""


class Watched:
    """The events of each task, by its name; of all evaluations that had this name."""

    def __init__(self, bus: RecordingBus, run: InspectResult) -> None:
        self.events = bus.events
        self.run = run
        self._tasks = {
            event["subject"]: event["data"]["task"]
            for event in bus.events
            if event["type"] == "evaluation.started"
        }

    def of(self, task: str) -> list[Json]:
        return [e for e in self.events if self._tasks.get(e["subject"]) == task]

    def types(self, task: str) -> list[str]:
        return [event["type"] for event in self.of(task)]

    def data(self, task: str, type: str) -> list[dict[str, Any]]:
        return [event["data"] for event in self.of(task) if event["type"] == type]


@pytest.fixture(scope="module")
def watched(tmp_path_factory: pytest.TempPathFactory) -> Watched:
    directory: Path = tmp_path_factory.mktemp("inspect")
    script = directory / "cases.py"
    script.write_text(SCRIPT, encoding="utf-8")
    with RecordingBus() as bus:
        run = InspectProcess(directory, bus.url, script).finish()
        return Watched(bus, run)


def test_nothing_went_wrong_while_watching(watched) -> None:
    assert "events of" not in watched.run.output
    assert "is away" not in watched.run.output


def test_a_doomed_task_is_reported_while_the_others_still_run(watched) -> None:
    types = [(event["type"], event["subject"]) for event in watched.events]
    (doomed,) = (e for e in watched.of("doomed") if e["type"] == "evaluation.failed")
    (following,) = (e for e in watched.of("next") if e["type"] == "evaluation.started")
    failed = types.index(("evaluation.failed", doomed["subject"]))
    assert failed < types.index(("evaluation.started", following["subject"]))
    assert doomed["data"]["error"]["type"] == "ValueError"
    assert doomed["data"]["max_retries"] == 0


def test_the_log_of_a_task_that_was_aborted_is_told_of_at_the_end_of_the_run(watched) -> None:
    types = watched.types("doomed")
    assert types[-1] == "storage.file.created"
    assert types.count("evaluation.failed") == types.count("storage.file.created") == 1


def test_errors_below_the_tolerated_share_fail_nothing(watched) -> None:
    assert watched.run.logs["tolerated"].status == "success"
    assert "evaluation.failed" not in watched.types("tolerated")
    (completed,) = watched.data("tolerated", "evaluation.completed")
    assert completed["result"]["samples"] == {"total": 20, "completed": 18, "errors": 2}


@pytest.mark.parametrize("task", ["share", "number", "late"])
def test_errors_beyond_what_is_tolerated_fail_the_task_once(watched, task: str) -> None:
    assert watched.run.logs[task].status == "error"
    types = Counter(watched.types(task))
    assert (types["evaluation.failed"], types["evaluation.completed"]) == (1, 0)
    (failed,) = watched.data(task, "evaluation.failed")
    assert failed["error"]["type"] == "ValueError"
    assert "is not valid JSON" in failed["error"]["message"]


def test_a_task_that_crashes_after_its_samples_fails_with_its_own_error(watched) -> None:
    assert watched.run.logs["crash"].status == "error"
    (failed,) = watched.data("crash", "evaluation.failed")
    assert failed["error"]["type"] == "ZeroDivisionError"
    assert failed["error"]["message"] == "no samples of that kind"
    assert Counter(watched.types("crash"))["evaluation.sample.completed"] == 20


def test_a_task_that_an_eval_set_tries_again_fails_and_then_completes(watched) -> None:
    first, second = watched.data("again", "evaluation.started")
    assert first["task_id"] == second["task_id"]
    assert [d["eval_id"] for d in watched.data("again", "evaluation.failed")] == [first["eval_id"]]
    (completed,) = watched.data("again", "evaluation.completed")
    assert completed["eval_id"] == second["eval_id"]
    last = watched.data("again", "evaluation.progress")[-1]
    assert last == {"eval_id": second["eval_id"], "done": 20, "total": 20, "errors": 0}


def test_scores_and_errors_that_json_cannot_say_are_said_in_text(watched) -> None:
    errored = watched.data("odd", "evaluation.sample.errored")
    assert {data["error"]["message"] for data in errored} == {"NUL \ufffd inside"}
    samples = watched.data("odd", "evaluation.sample.completed")
    assert [data["scores"] for data in samples] == [{"odd": "nan"}] * 2
    assert {data["epoch"] for data in samples} == {1, 2}
    (started,) = watched.data("odd", "evaluation.started")
    assert (started["total"], started["samples"], started["epochs"]) == (4, 2, 2)
