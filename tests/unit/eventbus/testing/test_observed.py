"""The observed bus: assertions that tell what was published instead, and what failed."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any
from unittest.mock import ANY

import pytest

from eventbus import Event
from eventbus.testing import FakeClock, ObservedBus
from tests.helpers.bus import LONG_S

Published = Callable[..., list[Event]]


def test_what_was_published_is_found_by_type_pattern_and_part_of_its_data(
    event_bus: ObservedBus, published: Published
) -> None:
    event_bus.publish("order.placed", {"order": 1, "of": {"name": "ana", "age": 3}, "tags": [1]})
    event_bus.publish("order.placed", {"order": 2, "price": 0.1 + 0.2})
    (first,) = published("order.placed", order=1)
    assert first["of"]["name"] == "ana"
    assert len(published("order.*")) == 2
    published("*", of={"name": "ana"}, tags=[1])
    published("order.placed", price=pytest.approx(0.3), order=ANY)
    published("order.placed", {"order": 2}, times=1)
    event_bus.not_published("order.placed", order=3)
    event_bus.not_published("order.paid")


def test_it_waits_for_what_handlers_publish(event_bus: ObservedBus, published: Published) -> None:
    @event_bus.on("a")
    def a(event: Event) -> None:
        threading.Event().wait(0.05)
        event_bus.publish("b", {"n": event["n"] + 1})

    @event_bus.on("b")
    async def b(event: Event) -> None:
        await event_bus.publish("c", {"n": event["n"] + 1})

    event_bus.publish("a", {"n": 1})
    published("c", n=3)


def test_it_waits_for_what_another_thread_publishes_when_it_is_told_how_long(
    event_bus: ObservedBus, published: Published
) -> None:
    looked = threading.Event()
    threads = [
        threading.Thread(target=lambda: looked.wait(LONG_S) and event_bus.publish("a.b", {"n": 1})),
        threading.Thread(target=lambda: looked.wait(LONG_S) and event_bus.publish("a.b", {"n": 2})),
    ]
    for thread in threads:
        thread.start()
    with pytest.raises(AssertionError, match="'a.b' was published never"):
        published("a.b")
    settle, event_bus.settle = event_bus.settle, lambda: (settle(), looked.set())  # type: ignore
    assert {event["n"] for event in published("a.b", times=2, within=LONG_S)} == {1, 2}
    with pytest.raises(AssertionError, match="published 2 times, not 3 within 0.05 s"):
        published("a.b", times=3, within=0.05)
    with pytest.raises(AssertionError, match="published 2 times, not 1"):
        published("a.b", times=1, within=10 * LONG_S)  # which no waiting would mend
    for thread in threads:
        thread.join(LONG_S)


def test_a_failed_assertion_shows_the_nearest_events_and_their_differences(
    event_bus: ObservedBus,
) -> None:
    event_bus.publish("order.placed", {"order": 1, "by": "ana", "items": {"n": 2}})
    event_bus.publish("order.placed", {"order": 2, "by": "bob"})
    event_bus.publish("other")
    with pytest.raises(AssertionError) as failed:
        event_bus.published("order.placed", order=1, by="bea", items={"n": 3, "m": 1})
    text = str(failed.value)
    for part in (
        "'order.placed' with {'order': 1, 'by': 'bea', 'items': {'n': 3, 'm': 1}} was published",
        "nearest of the 2 that match 'order.placed':",
        "by: expected 'bea', was 'ana'",
        "items.n: expected 3, was 2",
        "items.m: expected 1, is missing",
        "published: order.placed (2), other (1)",
    ):
        assert part in text
    assert text.index("'ana'") < text.index("'bob'"), "the nearer one first"


def test_a_wrong_type_is_answered_with_the_nearest_types(event_bus: ObservedBus) -> None:
    event_bus.publish("evaluation.started")
    with pytest.raises(AssertionError, match=r"did you mean 'evaluation.started'\?"):
        event_bus.published("evaluation.stared")


@pytest.mark.parametrize(("given", "wanted"), [
    (1, True), (True, 1), (1, "1"), ([1], [1, 2]), (None, 0), ({"a": 1}, {"a": 1, "b": 2}), (1, {}),
])  # fmt: skip
def test_values_that_differ_are_not_taken_for_equal(
    event_bus: ObservedBus, given: Any, wanted: Any
) -> None:
    event_bus.publish("a", {"value": given})
    with pytest.raises(AssertionError, match="value"):
        event_bus.published("a", value=wanted)


def test_how_often_may_be_asked_too(event_bus: ObservedBus) -> None:
    event_bus.publish_many([{"type": "a"}, {"type": "a"}])
    event_bus.published("a", times=2)
    event_bus.published("b", times=0)
    with pytest.raises(AssertionError, match="'a' was published 2 times, not 1"):
        event_bus.published("a", times=1)


def test_nothing_at_all_is_told_and_so_is_what_still_waits(event_bus: ObservedBus) -> None:
    with pytest.raises(AssertionError, match="nothing was published at all"):
        event_bus.published("a")

    @event_bus.on("start")
    def start(event: Event) -> None:
        raise ValueError("broken")

    event_bus.expect_failure(ValueError, match="broken")
    event_bus.publish("start")
    event_bus.publish("a", delay=5)
    with pytest.raises(AssertionError) as failed:
        event_bus.published("a")
    text = str(failed.value)
    assert "1 scheduled for later" in text and "1 deliveries wait for a retry" in text
    assert "failed for start: ValueError('broken')" in text


def test_published_against_the_expectation_it_is_shown(event_bus: ObservedBus) -> None:
    event_bus.publish("a", {"n": 1})
    with pytest.raises(AssertionError, match=r"#1 a \{'n': 1\}"):
        event_bus.not_published("a")


def test_the_clock_runs_retries_and_schedules(event_bus: ObservedBus, published: Published) -> None:
    tries: list[int] = []

    @event_bus.on("job", name="worker", max_attempts=3)
    async def work(event: Event) -> None:
        tries.append(len(tries))
        if len(tries) < 3:
            raise ConnectionError("away")
        await event_bus.publish("reminder", delay=3600)

    event_bus.expect_failure(ConnectionError, subscription="work*")
    event_bus.publish("job")
    event_bus.clock.advance(10)
    assert len(tries) == 3
    event_bus.not_published("reminder")
    event_bus.clock.advance(3600)
    published("reminder", times=1)


def test_a_bus_that_does_not_come_to_rest_tells_who_is_busy(event_bus: ObservedBus) -> None:
    has_begun, may_end = threading.Event(), threading.Event()

    @event_bus.on("a", name="slow")
    def slow(event: Event) -> None:
        has_begun.set()
        may_end.wait(20)

    event_bus.publish("a")
    assert has_begun.wait(20)
    with pytest.raises(AssertionError, match="slow handles #1 a, attempt 1"):
        event_bus.settle(timeout=0.1)
    may_end.set()


def test_failures_are_remembered_with_their_error_and_checked_against_what_was_expected() -> None:
    with ObservedBus.temporary() as bus:
        bus.subscribe("a", lambda event: 1 / 0)
        bus.publish("a")
        bus.settle()
        (failure,) = bus.failures
        assert (failure.event.type, failure.attempt) == ("a", 1)
        with pytest.raises(AssertionError, match=r"(?s)failed unexpectedly.*ZeroDivisionError"):
            bus.check_failures()
        bus.expect_failure(ValueError)
        with pytest.raises(AssertionError, match=r"(?s)expected ValueError.*failed unexpectedly"):
            bus.check_failures()


def test_expected_failures_pass_and_those_that_did_not_happen_do_not() -> None:
    with ObservedBus.temporary() as bus:
        bus.subscribe("a", lambda event: 1 / 0)
        bus.publish("a")
        bus.settle()
        bus.expect_failure(ZeroDivisionError, match="by zero")
        bus.check_failures()
        bus.expect_failure(subscription="other")
        with pytest.raises(AssertionError, match="expected Exception of 'other'"):
            bus.check_failures()


def test_several_buses_may_share_a_clock() -> None:
    clock = FakeClock()
    with ObservedBus.temporary(clock=clock) as one, ObservedBus.temporary(clock=clock) as two:
        one.publish("a", delay=5)
        two.publish("b", delay=6)
        clock.advance(6)
        one.published("a")
        two.published("b")
    clock.advance(1)  # what is closed is not waited for
