"""A real Celery worker, prefork on a broker of files, under the eyes of a real server."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.helpers.recording_bus import RecordingBus
from tests.helpers.server import ROOT, ServerProcess, clean_environment
from tests.helpers.waiting import wait_until

MODULE = "docs.examples.celery_tasks"


class Worker:
    """A worker with two processes, which ends as a supervisor ends it."""

    def __init__(self, directory: Path, url: str, *arguments: str) -> None:
        self.environment = clean_environment(EVENTBUS_URL=url, CELERY_DIRECTORY=str(directory))
        self._log = directory / "worker.log"
        command = [
            sys.executable, "-m", "celery", "-A", MODULE, "worker", "--concurrency", "2",
            "--without-mingle", "--without-gossip", "--without-heartbeat", "--loglevel", "INFO",
            *arguments,
        ]  # fmt: skip
        with self._log.open("w") as log:
            self._process = subprocess.Popen(
                command, cwd=ROOT, env=self.environment, stdout=log, stderr=subprocess.STDOUT,
                start_new_session=True,
            )  # fmt: skip
        wait_until(lambda: " ready." in self.output, "the worker is ready", 60)

    @property
    def output(self) -> str:
        return self._log.read_text(errors="replace")

    def publish(self, code: str) -> None:
        script = f"from {MODULE} import *\n{code}\n"
        done = subprocess.run(
            [sys.executable, "-c", script], cwd=ROOT, env=self.environment, timeout=60,
            capture_output=True, text=True,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr

    def stop(self) -> None:
        if self._process.poll() is None:
            self._process.send_signal(signal.SIGTERM)
            try:
                self._process.wait(30)
            except subprocess.TimeoutExpired:
                os.killpg(self._process.pid, signal.SIGKILL)
                self._process.wait()
                raise


@pytest.fixture(scope="module")
def watched(
    shared_server: ServerProcess, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[ServerProcess, Worker]]:
    """The example of the documentation, run to its end."""
    directory = tmp_path_factory.mktemp("celery")
    worker = Worker(directory, shared_server.url)
    try:
        done = subprocess.run(
            [sys.executable, "-m", MODULE], cwd=ROOT, env=worker.environment, timeout=60,
            capture_output=True, text=True,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        api = shared_server.api

        def told() -> int:
            return len(api.get("/api/events", type="queue.task.+", limit=1000).json["events"])

        # Added, started and ended are add, add; flaky, twice; broken; parent, and the add that it
        # sends. Each process sends its own, so that the last to come need not be an end.
        wait_until(lambda: told() >= 7 * 3, "all tasks are told of to their end", 60)
        wait_until(
            lambda: all(s["lag"] == 0 for s in api.get("/api/subscriptions").json["subscriptions"]),
            "the server has handled everything",
        )
        yield shared_server, worker
    finally:
        worker.stop()


def of(server: ServerProcess, task: str) -> list[dict[str, Any]]:
    """The events of one task by its name, oldest first."""
    query = {"type": "queue.task.+", "limit": 1000, "order": "asc"}
    found = server.api.get("/api/events", **query).json["events"]
    return [e for e in found if e["data"]["task"].rpartition(".")[2] == task]


def test_the_queue_is_counted_as_it_was(watched) -> None:
    server, worker = watched
    (queue,) = server.api.get("/api/queues").json["queues"]
    assert queue["name"] == "celery"
    assert (queue["depth"], queue["running"]) == (0, 0)
    assert (queue["processed"], queue["failed"]) == (5, 1)
    assert "events of" not in worker.output
    assert server.api.counters()["dead_letters"] == 0


def test_a_chain_of_tasks_is_one_chain_of_events(watched) -> None:
    server, _ = watched
    events = of(server, "add")
    first = next(e for e in events if e["type"] == "queue.task.added" and "eval_id" in e["data"])
    assert first["data"]["eval_id"] == "eval-42"
    chain = [e for e in events if e["correlationid"] == first["id"]]
    assert sorted(e["type"].rpartition(".")[2] for e in chain) == (
        ["added"] * 2 + ["processed"] * 2 + ["started"] * 2
    )
    ids = {e["id"]: e for e in chain}
    second = next(e for e in chain if e["type"] == "queue.task.added" and e is not first)
    cause = ids[second["causationid"]]
    assert (cause["type"], cause["subject"]) == ("queue.task.started", first["subject"])
    trace = server.api.get(f"/api/events/{second['id']}/trace").json
    assert trace["count"] == 6


def test_a_task_that_another_one_sends_is_caused_by_it(watched) -> None:
    server, _ = watched
    (started,) = (e for e in of(server, "parent") if e["type"] == "queue.task.started")
    sent = [e for e in of(server, "add") if e.get("causationid") == started["id"]]
    assert [e["type"] for e in sent] == ["queue.task.added"]
    assert sent[0]["correlationid"] == started["correlationid"]


def test_a_retry_is_another_attempt_in_the_same_chain(watched) -> None:
    server, _ = watched
    events = of(server, "flaky")
    told = sorted((e["data"]["attempt"], e["type"].rpartition(".")[2]) for e in events)
    assert told == [
        (1, "added"), (1, "failed"), (1, "started"), (2, "added"), (2, "processed"), (2, "started"),
    ]  # fmt: skip
    assert len({e["correlationid"] for e in events}) == 1
    (failed,) = (e["data"] for e in events if e["type"] == "queue.task.failed")
    assert failed["will_retry"]
    assert failed["error"]["type"] == "ConnectionError"


def test_a_failure_has_its_error_and_no_arguments(watched) -> None:
    server, _ = watched
    (failed,) = (e["data"] for e in of(server, "broken") if e["type"] == "queue.task.failed")
    assert (failed["error"]["type"], failed["error"]["message"]) == ("ValueError", "no such order")
    assert "in broken" in failed["error"]["traceback"]
    assert "args" not in failed and not failed["will_retry"]
    assert failed["worker"].startswith("celery@")


def test_tasks_that_are_called_off_or_unknown_leave_the_queue(watched) -> None:
    server, worker = watched
    worker.publish(
        "from datetime import datetime, timedelta, timezone\n"
        "past = datetime.now(timezone.utc) - timedelta(hours=1)\n"
        "add.apply_async((1, 2), expires=past)\n"
        "app.send_task('shop.nothing')"
    )

    def errors() -> set[str]:
        found = server.api.get("/api/events", type="queue.task.failed", limit=1000).json["events"]
        return {e["data"]["error"]["type"] for e in found}

    wait_until(lambda: {"Expired", "NotRegistered"} <= errors(), "both are told", 30)
    wait_until(
        lambda: server.api.get("/api/queues").json["queues"][0]["depth"] == 0, "the queue is empty"
    )


def test_a_bus_that_is_away_stops_no_worker_and_gets_everything_when_it_is_back(
    tmp_path: Path,
) -> None:
    with RecordingBus() as bus:
        bus.stop()
        worker = Worker(tmp_path, bus.url)
        try:
            worker.publish("assert add.delay(1, 2).get(timeout=30) == 3")
            bus.start()
            wait_until(
                lambda: {e["type"] for e in bus.events}
                >= {"queue.task.started", "queue.task.processed"},
                "the worker's events came", 30,
            )  # fmt: skip
        finally:
            worker.stop()


def test_without_celery_the_error_names_the_extra() -> None:
    script = (
        "import sys; sys.modules['celery'] = None\n"
        "try: import eventbus.integrations.celery_signals\n"
        "except ImportError as error: assert \"pip install 'eventbus[celery]'\" in str(error)\n"
        "else: raise AssertionError\n"
    )
    subprocess.run([sys.executable, "-c", script], cwd=ROOT, check=True, timeout=60)


def test_without_a_url_nothing_is_connected() -> None:
    script = (
        "from celery import signals\n"
        "from eventbus.integrations.celery_signals import connect\n"
        "assert connect() is None\n"
        "assert not signals.task_prerun.receivers\n"
    )
    subprocess.run(
        [sys.executable, "-c", script], cwd=ROOT, env=clean_environment(), check=True, timeout=60
    )
