"""Runs of Inspect AI as they are outside the tutorial: models, limits, odd data, forks.

Each is a real run, watched by a bus that records what it gets.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from eventbus.validation import MAX_EVENT_BYTES
from tests.helpers.inspect_run import QUICKSTART, InspectProcess, InspectResult
from tests.helpers.recording_bus import Json, RecordingBus
from tests.helpers.server import ROOT, clean_environment

SCRIPT = f"""
import os, runpy
os.environ["INSPECT_DISPLAY"] = "none"  # its tables of a thousand metrics take longer than all else
from inspect_ai import Task, eval
from inspect_ai.dataset import Sample
from inspect_ai.model import ModelOutput, get_model
from inspect_ai.scorer import Score, mean, metric, scorer
from inspect_ai.solver import generate, solver

quickstart = runpy.run_path({str(QUICKSTART)!r})
doubling, answer = quickstart["doubling"], quickstart["answer"]

def mock(name):
    return get_model("mockllm/" + name, custom_outputs=answer, memoize=False)

# Two models and two tasks in one run.
eval([doubling("both_a", 0.01), doubling("both_b", 0.01)], model=[mock("one"), mock("two")],
     limit=3, max_tasks=4)

# Samples that end by a limit have not failed.
@solver
def endless():
    async def solve(state, generate):
        while True:
            state = await generate(state)
    return solve

limited = doubling("limited", 0.01)
limited.solver = endless()
eval(limited, model=mock("model"), limit=2, message_limit=6)

# Names, ids, metadata and scores of any kind.
class Odd:
    def __str__(self):
        return "odd \\ud800"
    __repr__ = __str__

@metric
def many():
    def compute(scores):
        return {{("m" + str(n)) * 40: n for n in range(600)}}
    return compute

@scorer(metrics={{"*": [mean()]}})
def heavy():
    async def score(state, target):
        return Score(value={{f"k{{n}}": n for n in range(300)}}, metadata={{"x": "y" * 500_000}})
    return score

@scorer(metrics=[many()])
def wide():
    async def score(state, target):
        return Score(value=1)
    return score

strange = Task(
    name="str\\u00e4nge ☃",
    dataset=[Sample(id="☃ \\t id", input="What is twice 2?", target="4",
                    metadata={{"big": "z" * 1_000_000, "deep": [[[[[[[[[1]]]]]]]]]}})],
    solver=generate(), scorer=[heavy(), wide()], metadata={{"m": "☃" * 100_000}},
)
eval(strange, model=mock("model"), tags=["☃" + str(n) for n in range(500)])

@solver
def raising():
    async def solve(state, generate):
        raise ValueError("é" * 5_000)
    return solve

huge = doubling("huge_error", 0.01)
huge.solver = raising()
eval(huge, model=mock("model"), limit=1)

# A task that forks: its children say nothing, and take nothing from the parent.
@solver
def forking():
    async def solve(state, generate):
        pid = os.fork()
        if pid == 0:
            os._exit(0)
        os.waitpid(pid, 0)
        return await generate(state)
    return solve

forked = doubling("forked", 0.01)
forked.solver = forking()
eval(forked, model=mock("model"), limit=3)
"""


class Watched:
    """The events of each task, by its name."""

    def __init__(self, bus: RecordingBus, run: InspectResult) -> None:
        self.events = bus.events
        self.run = run
        self.started = [e["data"] for e in bus.events if e["type"] == "evaluation.started"]

    def of(self, task: str) -> list[Json]:
        ids = {data["eval_id"] for data in self.started if data["task"] == task}
        return [event for event in self.events if event["subject"] in ids]

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


def test_nothing_is_missing_and_nothing_is_too_large_for_a_bus(watched: Watched) -> None:
    assert "events of" not in watched.run.output
    assert "refused" not in watched.run.output
    texts = [json.dumps(event["data"], ensure_ascii=False) for event in watched.events]
    sizes = [len(text.encode()) for text in texts]
    assert max(sizes) <= MAX_EVENT_BYTES
    ended = {"evaluation.completed", "evaluation.failed"}
    ends = Counter(e["subject"] for e in watched.events if e["type"] in ended)
    assert ends == Counter(data["eval_id"] for data in watched.started)


def test_each_model_of_a_run_is_an_evaluation_of_its_own(watched: Watched) -> None:
    pairs = {(d["task"], d["model"]) for d in watched.started if d["task"].startswith("both")}
    assert pairs == {
        (task, f"mockllm/{model}") for task in ("both_a", "both_b") for model in ("one", "two")
    }
    for task in ("both_a", "both_b"):
        assert len(watched.data(task, "evaluation.completed")) == 2
        assert watched.data(task, "evaluation.failed") == []
        assert len(watched.data(task, "evaluation.sample.completed")) == 6
    metrics = [e["data"] for e in watched.events if e["type"] == "monitoring.metric.recorded"]
    assert {"inspect.tokens.mockllm/one", "inspect.tokens.mockllm/two"} <= {
        data["metric"] for data in metrics
    }


def test_a_sample_that_ends_by_a_limit_says_which_and_has_not_failed(watched: Watched) -> None:
    samples = watched.data("limited", "evaluation.sample.completed")
    assert [sample["limit"] for sample in samples] == ["message", "message"]
    assert len(watched.data("limited", "evaluation.completed")) == 1


def test_names_and_scores_of_any_size_and_kind_are_published(watched: Watched) -> None:
    (started,) = watched.data("stränge ☃", "evaluation.started")
    assert len(started["tags"]) == 100
    (sample,) = watched.data("stränge ☃", "evaluation.sample.completed")
    assert sample["sample_id"].startswith("☃")
    assert len(sample["scores"]["heavy"]) == 100
    (completed,) = watched.data("stränge ☃", "evaluation.completed")
    assert 0 < len(completed["result"]["metrics"]) <= 500


def test_a_long_error_is_told_in_a_thousand_characters(watched: Watched) -> None:
    (failed,) = watched.data("huge_error", "evaluation.failed")
    assert failed["error"]["type"] == "ValueError"
    assert len(failed["error"]["message"]) <= 1_000


def test_forked_children_publish_nothing_twice(watched: Watched) -> None:
    assert len(watched.data("forked", "evaluation.started")) == 1
    assert len(watched.data("forked", "evaluation.sample.completed")) == 3
    ids = [event["id"] for event in watched.events]
    assert len(ids) == len(set(ids))


def test_a_version_of_inspect_without_such_hooks_is_told_of_and_goes_on() -> None:
    script = """
import sys, types
import inspect_ai.hooks as real

NAME = "eventbus.integrations.inspect_ai"
other = types.ModuleType("inspect_ai.hooks")
other.Hooks, other.hooks = real.Hooks, lambda only: only
for hooks in (types.ModuleType("inspect_ai.hooks"), other):
    sys.modules["inspect_ai.hooks"] = hooks
    sys.modules.pop(NAME, None)
    __import__(NAME)
    assert sys.modules[NAME].register() is None
"""
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=ROOT, timeout=60, capture_output=True, text=True,
        env=clean_environment(EVENTBUS_URL="http://127.0.0.1:9"),
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    lines = [line for line in done.stderr.splitlines() if "no events are published" in line]
    assert len({line.partition("(")[2] for line in lines}) == 2, done.stderr
    assert all("inspect-ai 0." in line and "made for 0.3.285" in line for line in lines)
    assert "Traceback" not in done.stderr
