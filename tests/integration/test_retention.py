"""Retention on the real server: what goes, what API, stream and pages say of it, the command."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.helpers import commands
from tests.helpers.server import ServerProcess
from tests.helpers.waiting import wait_until

DAY_US = 86_400 * 1_000_000
OLD, STRIPPED = "demo.* keep 30d", "metrics.* payload 1d"


def age(database: Path, days: float) -> None:
    conn = sqlite3.connect(database)
    with conn:
        conn.execute("UPDATE events SET recorded_us = recorded_us - ?", (int(days * DAY_US),))
    conn.close()


def flask(server: ServerProcess, *arguments: str) -> tuple[int, str]:
    server.api.close()  # the server drops a connection that is idle while the command runs
    done = commands.flask(*arguments, PORT=str(server.port))
    return done.code, done.out + done.err


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    """A server with ten old events of three kinds, and one that is new; nothing has gone yet."""
    server = ServerProcess(
        tmp_path_factory.mktemp("server"), EVENTBUS_RETENTION=f"{OLD}; {STRIPPED}"
    )
    with server:
        for kind in ("demo.old", "metrics.old", "kept.old"):
            events = [{"type": kind, "id": f"{kind}-{n}", "data": {"n": n}} for n in range(10)]
            assert server.api.post("/api/events", events).status == 202
        server.stop()
        age(server.database, 40)
        server.start()
        server.api.publish("demo.new")
        yield server


@pytest.fixture(scope="module")
def cleared(server: ServerProcess) -> ServerProcess:
    """The same after a run that a person asked for."""
    code, told = flask(server, "retention", "--dry-run")
    assert code == 0 and f"{OLD}: 10 events and 0 payloads would go" in told
    code, told = flask(server, "retention", "--run")
    assert code == 0, told
    assert f"{OLD}: 10 events and 0 payloads went" in told
    assert f"{STRIPPED}: 0 events and 10 payloads went" in told
    wait_until(
        lambda: server.api.get("/api/events", type="bus.retention.removed").json["events"],
        "what went is recorded",
    )
    return server


def frames(server: ServerProcess, path: str, count: int) -> list[dict[str, Any]]:
    socket = server.websocket(path)
    try:
        return [json.loads(socket.receive(timeout=20) or "{}") for _ in range(count)]
    finally:
        socket.close()


def test_what_went_is_gone_and_what_lost_its_payload_says_so(cleared: ServerProcess) -> None:
    api = cleared.api
    assert api.get("/api/events", type="demo.old").json["events"] == []
    stripped = api.get("/api/events", type="metrics.old").json["events"]
    assert len(stripped) == 10
    assert all(event["dataremoved"] is True and "data" not in event for event in stripped)
    assert len(api.get("/api/events", type="kept.old").json["events"]) == 10
    assert api.get("/api/events/demo.old-3").status == 404
    assert api.get("/api/events/metrics.old-3/trace").status == 200
    assert api.get("/api/events/metrics.old-3/deliveries").status == 200


def test_the_pages_say_it_too(cleared: ServerProcess) -> None:
    page = cleared.api.get("/events/metrics.old-3").text
    assert "Payload removed by retention" in page and "Publish again" not in page
    assert "payload removed by retention" in cleared.api.get("/events", type="metrics.*").text
    assert "event #3 was removed by retention" in cleared.api.get("/events/at/3").text


def test_a_stream_that_goes_on_from_before_what_went_is_told(cleared: ServerProcess) -> None:
    told, first = frames(cleared, "/api/stream?after=4", 2)
    assert told == {"events": [], "sequence": 4, "removed_upto": 10}
    assert first["events"][0]["type"] == "metrics.old" and first["events"][0]["dataremoved"]
    (first,) = frames(cleared, "/api/stream?after=4&type=kept.*", 1)
    assert "removed_upto" not in first and len(first["events"]) == 10
    (first,) = frames(cleared, "/api/stream?after=10", 1)
    assert "removed_upto" not in first


def test_a_live_page_that_comes_back_is_told(cleared: ServerProcess) -> None:
    (hello,) = frames(cleared, "/live?after=4", 1)
    assert hello["kind"] == "hello" and hello["removed_upto"] == 10
    (hello,) = frames(cleared, "/live?after=20", 1)
    assert hello["removed_upto"] is None


def test_the_storage_tells_sizes_rules_and_the_last_run(cleared: ServerProcess) -> None:
    found = cleared.api.get("/api/storage").json
    assert found["path"] == str(cleared.database) and found["file_bytes"] > 0
    assert (found["removed_events"], found["removed_payloads"]) == (10, 10)
    sequence = cleared.api.get("/api/stats").json["sequence"]
    assert (found["events"], found["oldest_sequence"]) == (sequence - 10, 11)
    retention = found["retention"]
    assert retention["rules"] == [OLD, STRIPPED] and retention["longest_hold_ms"] > 0
    assert retention["last_run"]["error"] is None and retention["last_run"]["by"]
    code, told = flask(cleared, "retention")
    assert code == 0 and OLD in told and "events since" in told


def test_it_is_in_the_audit_trail(cleared: ServerProcess) -> None:
    def types() -> list[str]:
        events = cleared.api.get("/api/events", type="bus.retention.*", order="asc").json["events"]
        return [event["type"] for event in events]

    assert types() == ["bus.retention.requested", "bus.retention.removed"]
    newest = cleared.api.get("/api/events", type="bus.retention.removed").json["events"][0]
    assert newest["data"]["rules"] == {
        OLD: {"events": 10, "payloads": 0}, STRIPPED: {"events": 0, "payloads": 10},
    }  # fmt: skip


def test_the_read_models_are_what_the_log_and_its_baseline_give(cleared: ServerProcess) -> None:
    code, told = flask(cleared, "rebuild", "--check")
    assert code == 0, told


def test_a_wrong_body_is_refused_with_the_field(cleared: ServerProcess) -> None:
    refused = cleared.api.post("/api/retention", {"dry_run": "yes"})
    assert refused.status == 400 and refused.json["errors"][0]["pointer"] == "/dry_run"


def test_without_rules_nothing_can_be_asked_for(tmp_path: Path) -> None:
    with ServerProcess(tmp_path) as server:
        refused = server.api.post("/api/retention", {})
        assert refused.status == 409 and "EVENTBUS_RETENTION" in refused.json["detail"]
        assert server.api.get("/api/storage").json["retention"]["rules"] == []
