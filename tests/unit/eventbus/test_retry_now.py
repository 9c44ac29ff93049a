"""Retrying now: the next attempt begins at once, and only once, whatever it had been due for."""

from __future__ import annotations

import asyncio

from eventbus import Event, RetryPolicy
from eventbus.due import DueQueue
from eventbus.errors import RetryLaterError
from eventbus.lane import Lane
from eventbus.log.deliveries import Unfinished
from eventbus.patterns import Pattern
from eventbus.retries import Retries
from eventbus.subscription import Subscription, by_subject
from eventbus.testing import ObservedBus
from tests.helpers.bus import LONG_S, Failing, open_bus
from tests.helpers.waiting import wait_until

SLOW = RetryPolicy(max_attempts=3, base_delay_s=3600.0, max_delay_s=7200.0)


def test_what_waits_is_tried_at_once_and_who_asked_is_in_the_log(url: str) -> None:
    with open_bus(url, retry=SLOW) as bus:
        handler = Failing()
        bus.subscribe("a", handler, name="mine")
        sequence = bus.publish("a").wait(LONG_S).sequence or 0
        bus.publish("b")

        def attempts() -> int:
            (delivery,) = bus.log.deliveries(sequence)
            return delivery.attempt

        wait_until(lambda: attempts() == 1, "it has failed", LONG_S)
        wanted = [(sequence, "mine"), (sequence, "nobody"), (99, "mine")]
        assert bus.operations.retry_now(wanted, "ann") == [(sequence, "mine")]
        wait_until(lambda: attempts() == 2, "it was tried again", LONG_S)
        assert bus.operations.retry_now(wanted, "ann") == [(sequence, "mine")]
        wait_until(lambda: attempts() == 3, "and once more", LONG_S)
        assert bus.operations.retry_now(wanted, "ann") == [], "it is a dead letter now"
        asked = [e for e in bus.log.read(0).events if e.type == "bus.retry.requested"]
        assert [event["by"] for event in asked] == ["ann"] * 3
        assert asked[0]["total"] == 3


def test_the_time_it_had_been_due_for_begins_no_attempt_any_more() -> None:
    loop = asyncio.new_event_loop()
    try:
        pumped: list[Lane] = []
        retries = Retries(DueQueue(loop, _NeverDue()), pumped.append)  # type: ignore[arg-type]
        subscription = Subscription(
            "mine", Pattern("a"), print, True, False, False, SLOW, 1, by_subject
        )
        lane = Lane(subscription, 1)
        event = Event.create("a").copy(1)
        (job,) = lane.take_page([Unfinished(event, 1, 5_000_000)], 1, True)
        retries.expect(job)
        (old,) = retries._due.items(retries._begin)
        assert retries.now(lane, {1, 2}) == [1]
        assert retries.now(lane, {1}) == [], "it does not wait any more"
        retries._begin(old)  # the due queue comes to it
        assert (lane.retrying, lane.open, len(pumped)) == (0, 1, 1)
        lane.ready.popleft()
        retries.later(job, 9_000_000)
        retries._begin(old)
        assert (lane.retrying, len(pumped)) == (1, 1), "it waits for its new time"
    finally:
        loop.close()


class _NeverDue:
    def time_ns(self) -> int:
        return 0

    def monotonic_ns(self) -> int:
        return 0

    def call_at(self, loop: object, due_ns: int, call: object) -> None:
        return None


def test_a_handler_may_say_when_it_wants_to_be_tried_again() -> None:
    with ObservedBus.temporary() as bus:
        waits = [100.0, 1e9, 0.0]
        calls = []

        @bus.on("a", name="busy")
        def busy(event: Event) -> None:
            calls.append(bus.clock.now)
            if waits:
                raise RetryLaterError("busy", waits.pop(0))

        bus.expect_failure(RetryLaterError)
        bus.publish("a")
        bus.clock.advance(99.0)
        assert len(calls) == 1
        bus.clock.advance(1.0)
        assert len(calls) == 2
        bus.clock.advance(299.0)  # the longest wait of the policy
        assert len(calls) == 2
        bus.clock.advance(1.0)
        assert len(calls) == 3
        bus.clock.advance(3.9)  # never sooner than it would have been
        assert len(calls) == 3
        bus.clock.advance(1.2)
        assert len(calls) == 4
