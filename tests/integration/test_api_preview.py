"""POST /api/events/preview: what would happen, while nothing does."""

from __future__ import annotations

from typing import Any

import pytest

from tests.helpers.api import Api
from tests.helpers.server import ServerProcess


@pytest.fixture(scope="module")
def api(shared_server: ServerProcess) -> Api:
    return shared_server.api


def test_a_critical_failure_is_told_whole_and_changes_nothing(api: Api) -> None:
    started = {"type": "evaluation.started", "data": {"eval_id": "pre-1"}}
    assert api.post("/api/events?wait=handled", started).status == 202
    before = api.get("/api/stats").json
    error = {"type": "CudaError", "severity": "critical", "message": "x" * 5_000}
    failed = {"type": "evaluation.failed", "data": {"eval_id": "pre-1", "error": error}}

    answer = api.post("/api/events/preview", failed)

    assert answer.status == 200, answer.text
    told: dict[str, Any] = answer.json
    assert [(s["name"], s["outcome"]) for s in told["subscriptions"]] == [
        ("evaluation", "would_succeed")
    ]
    assert [(e["type"], e["by"], e["level"]) for e in told["events"]] == [
        ("alert.critical", "evaluation", 1),
        ("evaluation.retry", "evaluation", 1),
    ]
    (row,) = [e for e in told["effects"] if e["table"] == "evaluations" and e["event_id"]
              == told["given"][0]["id"]]  # fmt: skip
    assert (row["before"]["state"], row["after"]["state"]) == ("active", "failed")
    assert len(row["after"]["error"]) < 2_100  # a long value is told in part
    after = api.get("/api/stats").json
    assert (after["sequence"], after["counters"]) == (before["sequence"], before["counters"])
    assert api.get("/api/evaluations/pre-1").json["state"] == "active"


def test_it_takes_what_publishing_takes_and_refuses_the_same(api: Api) -> None:
    batch = [{"type": "evaluation.started", "data": {"eval_id": f"b{n}"}} for n in range(3)]
    told = api.post("/api/events/preview", batch).json
    assert [event["data"]["eval_id"] for event in told["given"]] == ["b0", "b1", "b2"]
    later = api.post("/api/events/preview", {**batch[0], "delay": 60}).json
    assert later["given"][0]["at"] is not None
    wrong = api.post("/api/events/preview", {"type": "a..b", "data": []})
    assert wrong.status == 400
    assert {error["pointer"] for error in wrong.json["errors"]} == {"/type", "/data"}
    many = api.post("/api/events/preview", batch * 40)
    assert many.status == 400
    assert many.json["errors"][0]["detail"] == "must have at most 100 events, not 120"


def test_an_event_that_nobody_listens_to_is_told_as_such(api: Api) -> None:
    told = api.post("/api/events/preview", {"type": "nobody.listens"}).json
    assert (told["subscriptions"], told["effects"], told["events"]) == ([], [], [])
    assert told["bound"] is None
