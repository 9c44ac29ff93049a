"""The past over HTTP: what was counted, active and open when the log ended earlier."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.helpers.api import Api
from tests.helpers.server import ServerProcess


@pytest.fixture(scope="module")
def api(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Api]:
    with ServerProcess(tmp_path_factory.mktemp("server")) as server:
        yield server.api


def started(api: Api, eval_id: str) -> int:
    """Start an evaluation; gives the event's sequence."""
    return int(api.publish("evaluation.started", {"eval_id": eval_id})["sequence"])


def test_counters_evaluations_and_alerts_are_told_as_of_an_event_and_as_of_its_time(
    api: Api,
) -> None:
    first = started(api, "past-1")
    api.publish("alert.critical", {"service": "past", "error": "gone later"})
    alert = api.get("/api/alerts").json["alerts"][0]
    second = started(api, "past-2")
    api.publish("evaluation.completed", {"eval_id": "past-1", "result": 1})
    last = api.publish("alert.resolved", {"alert_id": alert["id"], "by": "ana"})["sequence"]

    then = api.get("/api/stats", at=second).json
    assert (then["sequence"], then["counters"]["active"], then["counters"]["completed"]) == (
        second, 2, 0,
    )  # fmt: skip
    assert then["counters"]["open_alerts"] == 1 and then["counters"]["dead_letters"] == 0
    assert api.get("/api/stats").json["counters"]["active"] == 1

    found = api.get("/api/evaluations", at=second).json
    assert [each["eval_id"] for each in found["evaluations"]] == ["past-2", "past-1"]
    assert {each["state"] for each in found["evaluations"]} == {"active"}
    assert found["as_of"]["sequence"] == second
    assert len(api.get("/api/evaluations", at=first).json["evaluations"]) == 1
    assert api.get("/api/alerts", at=second).json["alerts"][0]["state"] == "open"
    assert api.get("/api/alerts", at=first).json["alerts"] == []
    assert api.get("/api/alerts", at=last).json["alerts"][0]["state"] == "resolved"

    moment = api.get("/api/stats", at=second).json["at"]
    assert api.get("/api/stats", at=moment).json == then
    assert api.get("/api/stats", at="2001-01-01T00:00:00Z").json["counters"]["active"] == 0
    assert api.get("/api/stats", at="1970-01-01T00:00:00Z").json["sequence"] == 0
    assert api.get("/api/stats", at="0s").json["sequence"] >= last


@pytest.mark.parametrize(
    ("at", "says"),
    [
        ("yesterday", "must be a time like 2026-11-24T09:30:00Z"),
        ("99999999", "must be at most"),
        ("2999-01-01T00:00:00Z", "must be in the past"),
        ("9" * 30, "must be a time like"),
        ("0001-13-01T00:00:00Z", "must be a time like"),
        ("0001-01-01T00:00:00+14:00", "must be a time like"),
        ("0001-01-01T00:00:00Z", "must be from 1970-01-01 on"),
        ("30000d", "must be from 1970-01-01 on"),
        ("٣", "must be a time like"),
    ],
)
@pytest.mark.parametrize("path", ["/api/stats", "/api/evaluations", "/api/alerts"])
def test_a_time_that_is_none_is_refused_with_the_rule(
    api: Api, path: str, at: str, says: str
) -> None:
    answer = api.get(path, at=at)
    assert (answer.status, answer.json["errors"][0]["pointer"]) == (400, "/at")
    assert says in answer.json["detail"]
