"""What /healthz and /readyz say while the storage fails, after a crash, and of a blocked loop."""

from __future__ import annotations

import os
import resource
import signal
import sys

import pytest

from tests.helpers.disks import damage
from tests.helpers.server import ServerProcess
from tests.helpers.waiting import wait_until, within
from tests.integration.test_disk_full import UNLIMITED, StartServer, worker_of


def parts(server: ServerProcess) -> list[str]:
    """The parts that are in trouble."""
    answer = server.api.get("/readyz")
    return [reason["part"] for reason in answer.json.get("reasons", [])]


def integrity(server: ServerProcess) -> dict[str, object]:
    found: dict[str, object] = server.api.get("/readyz").json["integrity"]
    return found


@pytest.mark.skipif(sys.platform != "linux", reason="needs prlimit(2)")
def test_a_full_disk_is_no_reason_to_restart_but_to_send_nothing_here(
    server: ServerProcess,
) -> None:
    assert server.api.get("/readyz").json["integrity"] == {"state": "not needed"}
    worker = worker_of(server)
    largest = max(file.stat().st_size for file in server.directory.glob("events.db*"))
    resource.prlimit(worker, resource.RLIMIT_FSIZE, (largest + 16_384, resource.RLIM_INFINITY))
    body = {"type": "a.b", "data": {"text": "x" * 200_000}}
    while server.api.post("/api/events", body).status == 202:
        pass
    answer = server.api.get("/readyz")
    assert answer.status == 503
    assert answer.headers["content-type"] == "application/problem+json"
    (reason,) = answer.json["reasons"]
    assert reason["part"] == "storage"
    assert "nothing was recorded" in reason["detail"]
    assert reason["since"].endswith("Z")
    assert server.api.get("/healthz").status == 200
    resource.prlimit(worker, resource.RLIMIT_FSIZE, UNLIMITED)
    wait_until(lambda: server.api.get("/readyz").status == 200, "it heals though nobody publishes")


def test_after_a_crash_the_database_is_checked_and_the_result_is_an_event(
    server: ServerProcess,
) -> None:
    server.api.publish("a.b", {})
    server.stop()
    server.start()
    assert integrity(server) == {"state": "not needed"}
    server.kill9()
    server.start()
    wait_until(lambda: integrity(server)["state"] == "ok", "the check is done")
    found = wait_until(
        lambda: server.api.get("/api/events", type="bus.integrity.checked").json["events"],
        "it is told of",
    )
    assert [event["data"]["result"] for event in found] == ["ok"]


def test_damage_that_the_check_after_a_crash_finds_stops_the_taking_of_events(
    server: ServerProcess,
) -> None:
    for _ in range(60):
        server.api.publish("a.b", {"text": "x" * 3_000})
    server.stop()
    server.start()
    server.api.publish("a.b")
    server.kill9()
    damage(server.database)
    server.start()
    wait_until(lambda: "damage" in parts(server), "the damage is found")
    answer = server.api.post("/api/events", {"type": "a.b"})
    assert answer.status == 503
    assert "flask restore" in answer.json["detail"]
    assert integrity(server)["state"] in ("damaged", "running", "not finished")
    server.stop()
    server.launch()
    wait_until(lambda: not server.is_running, "it does not start again")
    assert "is damaged" in server.output()
    assert "flask restore" in server.output()


def test_a_handler_that_blocks_the_loop_is_named(start_server: StartServer) -> None:
    server = start_server("tests.helpers.trouble:app")
    server.api.post("/api/events", {"type": "trouble.freeze"})
    wait_until(lambda: parts(server) == ["loop"], "the loop is blocked")
    (reason,) = server.api.get("/readyz").json["reasons"]
    assert "the async handler freeze" in reason["detail"]
    wait_until(lambda: "time.sleep(FOREVER_S)" in server.output(), "the log says where")
    os.kill(server.pid, signal.SIGTERM)
    wait_until(lambda: not server.is_running, "it ends all the same", within(5.0))
