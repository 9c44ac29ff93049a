"""What a page missed is summed up with exact counts, however much it was."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from app.live.fold import ROWS_AT_ONCE
from app.live.history import read_span
from eventbus import EventBus, Pattern

EVERYTHING = Pattern("#")


@pytest.fixture
def bus() -> Iterator[EventBus]:
    with EventBus.open("sqlite://") as bus:
        yield bus


def publish(bus: EventBus, type: str, count: int) -> None:
    bus.publish_many([{"type": type, "data": {"n": n}} for n in range(count)]).wait(10)


def test_a_short_span_is_rows_newest_first(bus: EventBus) -> None:
    publish(bus, "a.b", 5)
    span = read_span(bus.log, EVERYTHING, after=1, upto=4)
    assert [event.sequence for event in span.events] == [4, 3, 2]
    assert span.folds == ()
    assert span.count == 3


def test_a_span_of_exactly_what_fits_has_no_folds(bus: EventBus) -> None:
    publish(bus, "a.b", ROWS_AT_ONCE)
    span = read_span(bus.log, EVERYTHING, after=0, upto=ROWS_AT_ONCE)
    assert (len(span.events), list(span.folds)) == (ROWS_AT_ONCE, [])


def test_a_long_span_is_the_newest_rows_and_exact_counts_of_the_rest(bus: EventBus) -> None:
    publish(bus, "a.b", 500)
    publish(bus, "c.d", 700)
    publish(bus, "a.b", 50)
    span = read_span(bus.log, EVERYTHING, after=10, upto=1240)
    assert [event.sequence for event in span.events] == list(range(1240, 1040, -1))
    assert {(fold.type, fold.count, fold.first, fold.last) for fold in span.folds} == {
        ("a.b", 490, 11, 500), ("c.d", 540, 501, 1040),
    }  # fmt: skip
    assert span.count == 1230
    assert [row.sequence for row in span.rows] == [*range(1240, 1040, -1), 1040, 500]


def test_only_what_matches_is_counted(bus: EventBus) -> None:
    publish(bus, "a.b", 400)
    publish(bus, "c.d", 400)
    span = read_span(bus.log, Pattern("a.*"), after=0, upto=800)
    assert span.count == 400
    assert [(fold.type, fold.count, fold.last) for fold in span.folds] == [("a.b", 200, 200)]


def test_an_empty_span_is_empty(bus: EventBus) -> None:
    publish(bus, "a.b", 3)
    assert read_span(bus.log, EVERYTHING, after=3, upto=3).count == 0
    assert read_span(bus.log, Pattern("x.y"), after=0, upto=3).count == 0
