"""Rebuilds that are stopped: over the API, by Ctrl-C, and by the end of the server's worker."""

from __future__ import annotations

import signal
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.helpers.commands import Command, begin_flask
from tests.helpers.server import ServerProcess
from tests.helpers.waiting import wait_until

ENDLESS = "tests.helpers.endless:app"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    with ServerProcess(tmp_path_factory.mktemp("server"), ENDLESS) as server:
        yield server


def rebuild(server: ServerProcess, *arguments: str) -> Command:
    server.api.close()  # the server drops a connection that is idle while the command runs
    return begin_flask(
        "rebuild", *arguments, PORT=str(server.port),
        EVENTBUS_DATABASE_URL=f"sqlite:///{server.database}",
    )  # fmt: skip


def known(server: ServerProcess) -> dict[str, Any] | None:
    found: dict[str, Any] | None = server.new_api().get("/api/rebuild").json["rebuild"]
    return found


def runs(server: ServerProcess) -> bool:
    found = known(server)
    return found is not None and found["finished_at"] is None


def types(server: ServerProcess, pattern: str) -> list[tuple[str, dict[str, Any]]]:
    events = server.new_api().get("/api/events", type=pattern, order="asc").json["events"]
    return [(event["type"], event["data"]) for event in events]


def test_one_that_runs_is_stopped_over_the_api_and_makes_room_for_the_next(
    server: ServerProcess,
) -> None:
    api = server.new_api()
    before = len(types(server, "bus.rebuild.*"))
    for number in range(2):
        began = wait_until(  # the one before may still have its end to record
            lambda: (answer := api.post("/api/rebuild", {"by": "ann"})).status == 202 and answer,
            "it may begin", 60.0,
        )  # fmt: skip
        assert began.json["rebuild"]["started_at"].endswith("Z")
        refused = api.post("/api/rebuild", {"check": True})
        assert refused.status == 409 and "stop it" in refused.json["detail"]
        assert api.post("/api/rebuild/stop", {"by": "bob"}).status in (200, 202), number
        wait_until(lambda: not runs(server), "it has ended")
        found = known(server)
        assert found is not None
        assert (found["state"], found["error"]) == (
            "stopped", "it was stopped; nothing was replaced"
        )  # fmt: skip
        assert found["finished_at"] > found["started_at"]
    again = api.post("/api/rebuild/stop", {"by": "bob"})
    assert (again.status, again.json["rebuild"]["state"]) == (200, "stopped")
    told = wait_until(
        lambda: len(found := types(server, "bus.rebuild.*")) == before + 6 and found,
        "all of it is recorded",
    )[before:]  # fmt: skip
    assert [type for type, _ in told if type.endswith("stopped")] == ["bus.rebuild.stopped"] * 2
    stopped = next(data for type, data in told if type == "bus.rebuild.stopped")
    assert (stopped["by"], stopped["check"]) == ("bob", False)
    finished = next(data for type, data in told if type == "bus.rebuild.finished")
    assert (finished["by"], finished["state"]) == ("ann", "stopped")


def test_ctrl_c_stops_the_one_on_the_server(server: ServerProcess) -> None:
    command = rebuild(server, "--check")
    wait_until(lambda: runs(server), "it runs")
    command.send_signal(signal.SIGINT)
    ended = command.ended()
    assert ended.code == 3, ended.err
    assert "it was stopped" in ended.err
    assert not runs(server)


def test_who_follows_one_on_a_server_that_is_killed_is_told(server: ServerProcess) -> None:
    command = rebuild(server, "--check")
    wait_until(lambda: runs(server), "it runs")
    server.kill9()
    server.start()
    ended = command.ended()
    assert ended.code == 3, ended.err
    assert "it was restarted meanwhile" in ended.err or "no event bus answers" in ended.err
    assert "Traceback" not in ended.err


def test_ctrl_c_on_a_closed_database_is_a_stop_and_no_failure(tmp_path: Path) -> None:
    path = tmp_path / "events.db"
    with ServerProcess(tmp_path) as server:
        server.api.publish("evaluation.started", {"eval_id": "e1"})
    command = Command(
        "flask", "--app", ENDLESS, "rebuild", PORT="9", EVENTBUS_DATABASE_URL=f"sqlite:///{path}"
    )
    wait_until(lambda: recorded(path, "bus.rebuild.started"), "it runs")
    command.send_signal(signal.SIGINT)
    ended = command.ended()
    assert ended.code == 3, ended.err
    assert "it was stopped; nothing was replaced" in ended.err
    (finished,) = recorded(path, "bus.rebuild.finished")
    assert '"state":"stopped"' in finished.replace(" ", "")


def recorded(path: Path, type: str) -> list[str]:
    connection = sqlite3.connect(path, timeout=30.0)
    try:
        rows = connection.execute("SELECT data FROM events WHERE type = ?", (type,)).fetchall()
    finally:
        connection.close()
    return [str(data) for (data,) in rows]
