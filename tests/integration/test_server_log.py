"""The server's log: one JSON object a line, no payload and no query unless somebody wants them."""

from __future__ import annotations

import json
from typing import Any

from tests.helpers.server import ServerProcess
from tests.helpers.waiting import wait_until
from tests.integration.test_disk_full import StartServer

FAILS = {"type": "trouble.flaky", "data": {"failures": 9, "secret": "hunter2"}}
TWICE = {"EVENTBUS_MAX_ATTEMPTS": "2", "EVENTBUS_BACKOFF_FIRST_S": "0.01"}


def lines(server: ServerProcess) -> list[dict[str, Any]]:
    return [json.loads(line) for line in server.output().splitlines()]


def test_every_line_is_a_json_object(start_server: StartServer) -> None:
    server = start_server(
        "tests.helpers.trouble:app", EVENTBUS_LOG_FORMAT="json", EVENTBUS_LOG_REQUESTS="yes",
        **TWICE,
    )  # fmt: skip
    receipt = server.api.publish(FAILS["type"], FAILS["data"])
    wait_until(lambda: server.api.counters()["dead_letters"] == 1, "it has failed for good")
    server.api.get("/api/events", q="what I look for")
    server.stop()
    found = lines(server)
    assert all({"time", "level", "logger", "message"} <= line.keys() for line in found)
    assert any("is live at" in line["message"] for line in found)
    failed = [line for line in found if line.get("subscription") == "flaky"]
    assert [(line["level"], line["attempt"]) for line in failed] == [("warning", 1), ("error", 2)]
    assert {line["event_id"] for line in failed} == {receipt["id"]}
    requests = [line for line in found if line["logger"] == "eventbus.requests"]
    (posted,) = [line for line in requests if line["method"] == "POST"]
    assert (posted["path"], posted["status"]) == ("/api/events", 202)
    assert posted["client"] == "127.0.0.1"
    assert posted["duration_ms"] > 0
    assert "hunter2" not in server.output()
    assert "look for" not in server.output()


def test_a_start_that_fails_is_a_json_line_too(start_server: StartServer) -> None:
    first = start_server()
    second = ServerProcess(first.directory, EVENTBUS_LOG_FORMAT="json")
    second._log = first.directory / "second.log"
    second.launch()
    wait_until(lambda: not second.is_running, "it refuses")
    (line,) = [line for line in lines(second) if line["level"] == "error"][:1]
    assert "open for writing in another process" in line["message"]


def test_payloads_of_failures_are_logged_when_wanted(start_server: StartServer) -> None:
    server = start_server("tests.helpers.trouble:app", EVENTBUS_LOG_PAYLOADS="yes", **TWICE)
    server.api.publish(FAILS["type"], FAILS["data"])
    wait_until(lambda: "hunter2" in server.output(), "it is there")
