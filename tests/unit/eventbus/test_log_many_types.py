"""More event types than anybody would name: memory stays bounded, and nothing is missed."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from eventbus import EventBus, Pattern
from eventbus.log import EventQuery
from eventbus.log.known_types import MOST_KNOWN
from tests.helpers.databases import fresh_url

COUNT = MOST_KNOWN + 500


@pytest.fixture(scope="module", params=["sqlite", "postgresql"])
def bus(request: pytest.FixtureRequest) -> Iterator[EventBus]:
    with fresh_url(request.param) as url, EventBus.open(url) as bus:
        bus.publish_many(
            [{"type": f"made.up{number}", "data": {"n": number}} for number in range(COUNT)]
        )
        bus.publish("evaluation.started", {"eval_id": "e1"})
        yield bus


def test_the_types_that_are_remembered_are_bounded(bus: EventBus) -> None:
    assert len(bus.log.types()) == MOST_KNOWN


def test_a_pattern_finds_types_that_are_not_remembered(bus: EventBus) -> None:
    page = bus.log.query(EventQuery(pattern=Pattern("evaluation.*")))
    assert [event.type for event in page.events] == ["evaluation.started"]
    found = []
    cursor = None
    while True:
        page = bus.log.query(EventQuery(pattern=Pattern("made.+"), limit=1000, cursor=cursor))
        found += page.events
        cursor = page.next
        if cursor is None:
            break
    assert [event["n"] for event in found] == list(range(COUNT))[::-1]


def test_a_literal_pattern_finds_its_type(bus: EventBus) -> None:
    page = bus.log.query(EventQuery(pattern=Pattern(f"made.up{COUNT - 1}")))
    assert [event["n"] for event in page.events] == [COUNT - 1]


def test_a_stream_by_pattern_is_complete(bus: EventBus) -> None:
    position, found = 0, []
    while position < bus.log.last_sequence:
        chunk = bus.log.read(position, 700, Pattern("made.*"))
        found += chunk.events
        position = chunk.position
    assert [event["n"] for event in found] == list(range(COUNT))


def test_counts_stay_exact_in_sum(bus: EventBus) -> None:
    counts = bus.log.counts(0, bus.log.last_sequence, Pattern("made.*"))
    assert sum(seen.count for seen in counts) == COUNT
    counts = bus.log.counts(0, bus.log.last_sequence)
    assert sum(seen.count for seen in counts) == COUNT + 1
