"""Reading the log over HTTP: filters, pages, deliveries and the causation tree."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import pytest

from tests.helpers.api import Api
from tests.helpers.server import ServerProcess


@pytest.fixture(scope="module")
def api(shared_server: ServerProcess) -> Api:
    """A log of 30 events: orders 0-19, of them every second one paid, and 10 of another kind."""
    orders = [
        {
            "type": f"shop.order.{'paid' if n % 2 else 'placed'}",
            "id": f"order-{n}",
            "subject": f"customer-{n % 3}",
            "time": f"2026-01-01T00:00:{n:02}Z",
            "data": {"n": n, "note": f"number {n} of 100%_"},
        }
        for n in range(20)
    ]
    others = [{"type": "unrelated", "data": {"n": n}} for n in range(10)]
    api = shared_server.api
    answer = api.post("/api/events", orders + others)
    assert answer.status == 202
    return api


def numbers(answer: Any) -> list[int]:
    assert answer.status == 200, answer.text
    return [event["data"]["n"] for event in answer.json["events"]]


def pages(api: Api, **query: object) -> Iterator[list[int]]:
    cursor: str | None = ""
    while cursor is not None:
        answer = api.get("/api/events", cursor=cursor, **query)
        yield numbers(answer)
        cursor = answer.json["next"]


def test_the_newest_come_first_and_ascending_when_asked(api: Api) -> None:
    assert numbers(api.get("/api/events", type="shop.*", limit=3)) == [19, 18, 17]
    assert numbers(api.get("/api/events", type="shop.*", limit=3, order="asc")) == [0, 1, 2]


@pytest.mark.parametrize("order", ["asc", "desc"])
@pytest.mark.parametrize("limit", [1, 7, 20, 1000])
def test_pages_have_every_event_once_in_order(api: Api, order: str, limit: int) -> None:
    found = [n for page in pages(api, type="shop.*", order=order, limit=limit) for n in page]
    assert found == sorted(range(20), reverse=order == "desc")


def test_pages_do_not_shift_when_events_come_in_between(api: Api) -> None:
    first = api.get("/api/events", type="moving.*", limit=2)
    assert first.json == {"events": [], "next": None}
    api.post("/api/events", [{"type": "moving.a", "data": {"n": n}} for n in range(4)])
    first = api.get("/api/events", type="moving.*", limit=2)
    api.post("/api/events", [{"type": "moving.a", "data": {"n": n}} for n in range(4, 8)])
    second = api.get("/api/events", type="moving.*", limit=9, cursor=first.json["next"])
    assert (numbers(first), numbers(second)) == ([3, 2], [1, 0])


@pytest.mark.parametrize(
    ("pattern", "count"),
    [
        ("shop.order.paid", 10),
        ("shop.*", 20),
        ("shop.+.paid", 10),
        ("*.order.*", 20),
        ("#.paid", 10),
        ("shop.+", 0),
        ("SHOP.*", 0),
    ],
)
def test_the_type_is_a_pattern(api: Api, pattern: str, count: int) -> None:
    assert len(numbers(api.get("/api/events", type=pattern, limit=100))) == count


def test_filters_hold_together(api: Api) -> None:
    query = {"type": "shop.order.paid", "subject": "customer-1"}
    assert numbers(api.get("/api/events", **query)) == [19, 13, 7, 1]
    since, until = "2026-01-01T00:00:07Z", "2026-01-01T00:00:19Z"
    assert numbers(api.get("/api/events", **query, since=since, until=until)) == [13, 7]


def test_positions_bound_on_both_sides_exclusively(api: Api) -> None:
    low = api.get("/api/events/order-5").json["sequence"]
    high = api.get("/api/events/order-9").json["sequence"]
    assert numbers(api.get("/api/events", after=low, before=high)) == [8, 7, 6]
    assert numbers(api.get("/api/events", after=2**63 - 1)) == []


def test_words_are_searched_in_the_payload(api: Api) -> None:
    assert numbers(api.get("/api/events", q="number 7 of")) == [7]
    assert len(numbers(api.get("/api/events", q="100%_", limit=100))) == 20
    assert numbers(api.get("/api/events", q="numb*", subject="customer-1", limit=2)) == [19, 16]
    assert numbers(api.get("/api/events", q="numb")) == []


def test_nothing_found_is_an_empty_page(api: Api) -> None:
    answer = api.get("/api/events", subject="nobody")
    assert answer.json == {"events": [], "next": None}


def test_empty_parameters_mean_nothing(api: Api) -> None:
    assert numbers(api.get("/api/events", type="shop.*", limit=1, subject="")) == [19]


@pytest.mark.parametrize("query", ["utm=x", "limit=2&limit=3", "Type=shop.*", "type%20=a"])
def test_a_parameter_that_is_unknown_or_given_twice_is_an_error(api: Api, query: str) -> None:
    answer = api.get(f"/api/events?{query}")
    assert answer.status == 400
    assert answer.json["errors"][0]["parameter"] == query.partition("=")[0].replace("%20", " ")


def test_deliveries_of_an_event_have_their_attempts(api: Api) -> None:
    receipt = api.publish("evaluation.started", {"eval_id": "d-1"})
    deliveries = api.get(f"/api/events/{receipt['id']}/deliveries").json["deliveries"]
    evaluation = next(d for d in deliveries if d["subscription"] == "evaluation")
    assert evaluation["state"] == "succeeded"
    (attempt,) = evaluation["attempts"]
    assert (attempt["number"], attempt["outcome"]) == (1, "succeeded")
    assert datetime.fromisoformat(attempt["started_at"]) <= datetime.now(UTC)
    assert api.get("/api/events/order-1/deliveries").json == {"deliveries": []}


def test_the_trace_is_the_tree_of_what_an_event_caused(api: Api) -> None:
    error = {"type": "OutOfMemory", "message": "gpu 3", "severity": "critical"}
    receipt = api.publish("evaluation.failed", {"eval_id": "t-1", "error": error})
    trace = api.get(f"/api/events/{receipt['id']}/trace").json
    (root,) = trace["tree"]
    assert root["event"]["id"] == receipt["id"]
    assert root["latency_ms"] is None
    caused = {child["event"]["type"]: child for child in root["children"]}
    assert caused.keys() >= {"alert.critical", "evaluation.retry"}
    alert = caused["alert.critical"]
    assert alert["latency_ms"] >= 0
    assert alert["event"]["causationid"] == receipt["id"]
    from_below = api.get(f"/api/events/{alert['event']['id']}/trace").json
    assert from_below["tree"][0]["event"]["id"] == receipt["id"]

    chain = api.get("/api/events", correlation=receipt["id"], limit=100).json["events"]
    assert trace["count"] == len(chain)


def test_an_id_with_a_slash_is_found(api: Api) -> None:
    api.publish("a.b", id="run/7")
    assert api.get("/api/events/run%2F7").json["id"] == "run/7"
    assert api.get("/api/events/run/7/deliveries").json == {"deliveries": []}
