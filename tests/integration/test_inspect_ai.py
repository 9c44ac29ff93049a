"""Real runs of Inspect AI against the real server: what it shows is what Inspect's logs say."""

from __future__ import annotations

import signal
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from inspect_ai.log import EvalLog

from tests.helpers.api import Api
from tests.helpers.inspect_run import QUICKSTART, InspectProcess, InspectResult, samples
from tests.helpers.ports import free_port
from tests.helpers.recording_bus import RecordingBus
from tests.helpers.server import ServerProcess
from tests.helpers.waiting import wait_until, within

SECONDS = "3"
SAMPLES = 20
RESULTING = {"success": "completed", "error": "exhausted"}  # nothing retries a task of Inspect


@pytest.fixture(scope="module")
def watched(
    shared_server: ServerProcess, tmp_path_factory: pytest.TempPathFactory
) -> tuple[ServerProcess, InspectResult]:
    """The quickstart of the documentation, run to its end under the eyes of a server."""
    directory = tmp_path_factory.mktemp("inspect")
    run = InspectProcess(directory, shared_server.url, QUICKSTART, "--seconds", SECONDS).finish()
    wait_until(lambda: is_handled(shared_server.api), "the server has handled everything")
    return shared_server, run


def is_handled(api: Api) -> bool:
    return all(s["lag"] == 0 for s in api.get("/api/subscriptions").json["subscriptions"])


def events(api: Api, pattern: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []
    query: dict[str, object] = {"type": pattern, "order": "asc", "limit": 200}
    while True:
        page = api.get("/api/events", **query).json
        found += page["events"]
        if page["next"] is None:
            return found
        query["cursor"] = page["next"]


def errored(log: EvalLog) -> int:
    return sum(sample.error is not None for sample in samples(log))


def test_a_hundred_samples_in_five_tasks_ran_and_failed_as_planned(watched) -> None:
    _, run = watched
    assert {name: log.status for name, log in run.logs.items()} == {
        "warm_up": "success", "flaky_sandbox": "success", "tolerant": "success",
        "fragile": "error", "long_haul": "success",
    }  # fmt: skip
    assert sum(len(samples(log)) for log in run.logs.values()) == 5 * SAMPLES
    assert "is away" not in run.output


def test_the_counters_say_what_the_logs_say(watched) -> None:
    server, run = watched
    statuses = Counter(log.status for log in run.logs.values())
    counters = server.api.counters()
    assert counters["completed"] == statuses["success"] == 4
    assert counters["failed"] == counters["exhausted"] == statuses["error"] == 1
    assert counters["active"] == counters["retrying"] == counters["stalled"] == 0
    assert counters["dead_letters"] == counters["open_alerts"] == 0


def test_each_evaluation_is_in_the_state_of_its_log(watched) -> None:
    server, run = watched
    listed = server.api.get("/api/evaluations").json["evaluations"]
    assert len(listed) == len(run.logs)
    shown = {evaluation["eval_id"]: evaluation for evaluation in listed}
    for name, log in run.logs.items():
        evaluation = shown[log.eval.eval_id]
        assert evaluation["state"] == RESULTING[log.status]
        assert evaluation["attempt"] == 1
        assert (evaluation["task"], evaluation["model"]) == (name, "mockllm/model")
        assert (evaluation["done"], evaluation["total"]) == (SAMPLES, SAMPLES)
        assert evaluation["errors"] == errored(log)


def test_the_result_of_an_evaluation_is_that_of_its_log(watched) -> None:
    server, run = watched
    for log in run.logs.values():
        evaluation = server.api.get(f"/api/evaluations/{log.eval.eval_id}").json
        if log.status == "error":
            assert evaluation["error"]["type"] == "ValueError"
            assert "sample 12 is not valid JSON" in evaluation["error"]["message"]
            assert evaluation["error"]["message"] in evaluation["error"]["traceback"]
            continue
        assert log.results is not None
        result = evaluation["result"]
        assert result["samples"] == {
            "total": log.results.total_samples,
            "completed": log.results.completed_samples,
            "errors": errored(log),
        }
        assert result["metrics"] == {
            f"{score.name}/{metric.name}": metric.value
            for score in log.results.scores
            for metric in score.metrics.values()
        }
        assert result["tokens"] == {
            model: usage.total_tokens for model, usage in log.stats.model_usage.items()
        }


def test_each_sample_shows_with_its_scores_and_each_failed_attempt_with_its_error(watched) -> None:
    server, run = watched
    completed = events(server.api, "evaluation.sample.completed")
    errors = events(server.api, "evaluation.sample.errored")
    for log in run.logs.values():
        eval_id = log.eval.eval_id
        scores = {
            (e["data"]["sample_id"], e["data"]["epoch"]): e["data"]["scores"]
            for e in completed
            if e["subject"] == eval_id
        }
        assert scores == {
            (sample.id, sample.epoch): {n: s.value for n, s in (sample.scores or {}).items()}
            for sample in samples(log)
            if sample.error is None
        }
        attempts = Counter(e["data"]["sample_id"] for e in errors if e["subject"] == eval_id)
        assert attempts == Counter(
            {
                sample.id: len(sample.error_retries or ()) + (sample.error is not None)
                for sample in samples(log)
                if sample.error_retries or sample.error
            }
        )
    last_ones = [e["data"] for e in errors if not e["data"]["will_retry"]]
    assert {data["attempt"] for data in last_ones} == {3}
    assert len(last_ones) == sum(errored(log) for log in run.logs.values()) == 4


def test_the_log_files_and_the_tokens_are_those_of_the_logs(watched) -> None:
    server, run = watched
    total = 0
    for log in run.logs.values():
        (file,) = server.api.get(f"/api/evaluations/{log.eval.eval_id}").json["files"]
        assert Path(file["path"]).samefile(log.location.removeprefix("file://"))
        assert file["bytes"] == Path(file["path"]).stat().st_size
        total += sum(usage.total_tokens for usage in log.stats.model_usage.values())
    (metric,) = server.api.get("/api/metrics").json["metrics"]
    assert (metric["name"], metric["value"]) == ("inspect.tokens.mockllm/model", total)
    assert metric["unit"] == "tokens"
    # One event for at most a second and the ends of tasks, not one for each of about 115 calls.
    assert len(events(server.api, "monitoring.metric.recorded")) < 22 + run.work_s


def test_the_events_of_a_task_hang_together(watched) -> None:
    server, run = watched
    assert len({e["id"] for e in events(server.api, "#")}) == len(events(server.api, "#"))
    for log in run.logs.values():
        of_task = server.api.get("/api/events", subject=log.eval.eval_id, order="asc").json
        published = [e for e in of_task["events"] if e["source"] == "/inspect-ai"]
        first = published[0]
        assert first["type"] == "evaluation.started"
        assert {e["correlationid"] for e in published} == {first["id"]}
        progress = [e["data"]["done"] for e in published if e["type"] == "evaluation.progress"]
        assert progress == sorted(progress)
        assert progress[-1] == SAMPLES
    (started,) = events(server.api, "inspect.run.started")
    (completed,) = events(server.api, "inspect.run.completed")
    assert completed["correlationid"] == started["id"]
    assert completed["data"]["evaluations"] == {
        log.eval.eval_id: log.status for log in run.logs.values()
    }


def test_an_evaluation_runs_as_ever_while_the_bus_is_away(tmp_path) -> None:
    results = {}
    for name, url in (("without", None), ("away", f"http://127.0.0.1:{free_port()}")):
        (tmp_path / name).mkdir()
        results[name] = InspectProcess(
            tmp_path / name, url, QUICKSTART, "--seconds", SECONDS
        ).finish()
    without, away = results["without"], results["away"]
    assert {n: log.status for n, log in away.logs.items()} == {
        n: log.status for n, log in without.logs.items()
    }
    assert away.work_s < without.work_s * 1.5 + within(2.0)
    assert away.output.count("is away") == 1
    assert away.output.count("events were not confirmed") == 1  # counted, at the end
    assert "eventbus" not in without.output


def test_a_bus_that_comes_back_gets_everything_that_happened_meanwhile(tmp_path) -> None:
    server = ServerProcess(tmp_path)
    server.port = free_port()
    (tmp_path / "logs").mkdir()
    run = InspectProcess(tmp_path / "logs", server.url, QUICKSTART, "--seconds", "8")
    wait_until(lambda: "is away" in run.output, "it says that the bus is away", 30)
    with server:
        result = run.finish()
        wait_until(lambda: is_handled(server.api), "the server has handled everything")
        counters = server.api.counters()
        assert (counters["completed"], counters["failed"], counters["active"]) == (4, 1, 0)
        completed = events(server.api, "evaluation.sample.completed")
        assert len(completed) == 5 * SAMPLES - sum(errored(log) for log in result.logs.values())
        assert len(events(server.api, "evaluation.started")) == 5
    assert result.output.count("is away") == result.output.count("is back") == 1
    assert "0 were dropped" in result.output


@pytest.fixture
def recording_bus() -> Iterator[RecordingBus]:
    with RecordingBus() as bus:
        yield bus


def by_subject(bus: RecordingBus, type: str) -> dict[str, dict[str, Any]]:
    return {event["subject"]: event["data"] for event in bus.events if event["type"] == type}


def test_ctrl_c_ends_each_evaluation_as_cancelled(recording_bus, tmp_path) -> None:
    run = InspectProcess(tmp_path, recording_bus.url, QUICKSTART, "--seconds", "40")
    wait_until(lambda: by_subject(recording_bus, "evaluation.progress"), "samples are done", 90)
    run.process.send_signal(signal.SIGINT)
    run.finish()
    started = by_subject(recording_bus, "evaluation.started")
    failed = by_subject(recording_bus, "evaluation.failed")
    assert set(failed) == set(started)
    assert {data["error"]["type"] for data in failed.values()} == {"Cancelled"}
    errored = {
        event["data"]["error"]["type"]
        for event in recording_bus.events if event["type"] == "evaluation.sample.errored"
    }  # fmt: skip
    assert errored <= {"ConnectionError", "ValueError"}, "only of what a slow machine came to"
    assert by_subject(recording_bus, "evaluation.sample.cancelled")
    assert recording_bus.events[-1]["type"] == "inspect.run.completed"
    assert set(recording_bus.events[-1]["data"]["evaluations"].values()) == {"cancelled"}
