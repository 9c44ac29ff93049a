"""The causation tree that the API gives for one event."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import Any

from app.api.shapes import answer
from app.api.trace import MAX_DEPTH, tree
from eventbus import Event

START = datetime(2026, 1, 1, tzinfo=UTC)


def event(number: int, cause: int | None = None) -> Event:
    return Event.create(
        "a.b",
        {"n": number},
        id=f"e{number}",
        time=START + timedelta(milliseconds=number),
        correlationid="e1",
        causationid=None if cause is None else f"e{cause}",
    ).evolve(sequence=number)


def ids(nodes: list[dict[str, Any]]) -> list[Any]:
    return [[node["event"].id, *ids(node["children"])] for node in nodes]


def test_events_stand_below_their_cause_in_sequence_order() -> None:
    assert ids(tree([event(4, 2), event(1), event(3, 1), event(2, 1)])) == [
        ["e1", ["e2", ["e4"]], ["e3"]]
    ]


def test_the_latency_is_the_time_since_the_cause() -> None:
    (root,) = tree([event(1), event(9, 1)])
    assert root["latency_ms"] is None
    assert root["children"][0]["latency_ms"] == 8.0


def test_an_event_with_an_unknown_cause_or_itself_as_cause_is_a_root() -> None:
    assert ids(tree([event(2, 77), event(3, 3)])) == [["e2"], ["e3"]]


def test_causes_that_form_a_ring_end() -> None:
    assert ids(tree([event(1, 2), event(2, 1)])) == [["e1", ["e2"]]]


def test_a_claimed_chain_of_a_thousand_can_still_be_written_as_json() -> None:
    chain = [event(1), *(event(number, number - 1) for number in range(2, 1001))]
    written = json.loads(answer(tree(chain)).get_data())
    depth = 0
    count = 0
    level = written
    while level:
        depth += 1
        count += len(level)
        level = [child for node in level for child in node["children"]]
    assert (depth, count) == (MAX_DEPTH + 1, 1000)
