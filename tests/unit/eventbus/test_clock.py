"""Time as the bus knows it: retries and time-outs follow the clock that it was given."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pytest

from eventbus import Event, EventBus, RetryPolicy
from eventbus.testing import FakeClock
from tests.helpers.bus import LONG_S, Failing, Recorder

START = datetime(2026, 3, 1, 12, tzinfo=UTC)


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock(START)


@pytest.fixture
def bus(url: str, clock: FakeClock) -> Iterator[EventBus]:
    """A bus with the documented retry policy, whose time stands still."""
    with EventBus.open(url, clock=clock) as bus:
        clock.attach(bus)
        yield bus


def test_the_retries_come_after_one_two_four_and_eight_seconds_and_up_to_a_quarter_more(
    bus: EventBus, clock: FakeClock
) -> None:
    failing = Failing()
    bus.subscribe("a", failing, name="failing")
    event = bus.publish("a").wait()
    assert bus.drain(LONG_S) and failing.calls == 1
    for number, delay_s in enumerate((1, 2, 4, 8), start=2):
        began = clock.now
        (delivery,) = bus.log.deliveries(event.sequence or 0)
        assert delivery.state == "retrying" and delivery.next_attempt_at is not None
        waits = delivery.next_attempt_at - began
        assert timedelta(seconds=delay_s) <= waits <= timedelta(seconds=delay_s * 1.25)
        clock.advance(waits - timedelta(microseconds=1))
        assert failing.calls == number - 1
        clock.advance(timedelta(microseconds=1))
        assert failing.calls == number
    clock.advance(timedelta(days=1))
    (delivery,) = bus.log.deliveries(event.sequence or 0)
    assert (delivery.state, failing.calls) == ("dead", 5)


def test_one_step_of_the_clock_runs_every_retry_that_is_due_within_it_in_its_turn(
    bus: EventBus, clock: FakeClock
) -> None:
    times: list[datetime] = []

    @bus.on("a", name="failing")
    async def fail(event: Event) -> None:
        times.append(clock.now)
        raise RuntimeError("again")

    bus.publish("a")
    clock.advance(60)
    gaps = [
        (after - before).total_seconds() for before, after in zip(times, times[1:], strict=False)
    ]
    assert len(times) == 5 and gaps == sorted(gaps) and gaps[-1] >= 8
    assert clock.now == START + timedelta(seconds=60)


def test_a_handler_that_hangs_is_timed_out_by_the_clock_and_tried_again(
    bus: EventBus, clock: FakeClock
) -> None:
    calls = Recorder()

    @bus.on("a", name="hanging", timeout=30)
    async def hang(event: Event) -> None:
        calls(event)
        if len(calls.events) == 1:
            await asyncio.Event().wait()

    event = bus.publish("a").wait()
    calls.wait_for(1)
    clock.advance(29, patience=0.2)
    assert bus.running(), "29 seconds are not too long"
    clock.advance(1.5, patience=0.2)
    assert bus.drain(LONG_S)
    clock.advance(2)
    (delivery,) = bus.log.deliveries(event.sequence or 0)
    assert [attempt.outcome for attempt in delivery.attempts] == ["timeout", "succeeded"]


def test_events_and_attempts_bear_the_time_of_the_clock(bus: EventBus, clock: FakeClock) -> None:
    seen = Recorder(lambda event: bus.publish("c"))
    bus.subscribe("a", seen, name="seen")
    assert bus.publish("a").wait().time == START
    clock.advance(90)
    first, second = bus.publish_many(
        [{"type": "b"}, {"type": "b", "time": "2020-01-01T00:00:00Z"}]
    ).wait()
    assert first.time == START + timedelta(seconds=90) and second.time.year == 2020
    (caused,) = [event for event in bus.log.read(0).events if event.type == "c"]
    assert caused.time == START
    (delivery,) = bus.log.deliveries(1)
    assert delivery.finished_at == START


def test_a_wall_clock_that_is_set_changes_nothing_for_a_retry_that_waits(
    bus: EventBus, clock: FakeClock
) -> None:
    failing = Failing(times=2)
    bus.subscribe("a", failing, name="failing")
    event = bus.publish("a").wait()
    assert bus.drain(LONG_S) and failing.calls == 1
    for number, days in enumerate((-300, 300), start=2):
        (delivery,) = bus.log.deliveries(event.sequence or 0)
        assert delivery.next_attempt_at is not None
        waits = delivery.next_attempt_at - clock.now
        clock.set_wall_clock(START + timedelta(days=days))
        clock.advance(waits - timedelta(microseconds=1))
        assert failing.calls == number - 1
        clock.advance(timedelta(microseconds=1))
        assert failing.calls == number


def test_a_retry_found_at_the_start_never_waits_longer_than_a_delay_can_be(
    url: str, clock: FakeClock
) -> None:
    policy = RetryPolicy(base_delay_s=10, max_delay_s=10)
    with EventBus.open(url, clock=clock, retry=policy) as bus:
        bus.subscribe("a", Failing(), name="failing")
        bus.publish("a")
        assert bus.drain(LONG_S)
    earlier = FakeClock(START - timedelta(days=300))
    with EventBus.open(url, clock=earlier, retry=policy) as bus:
        earlier.attach(bus)
        again = Recorder()
        bus.subscribe("a", again, name="failing")
        earlier.advance(9)
        assert again.events == []
        earlier.advance(3.5)
        assert len(again.events) == 1


def test_a_clock_cannot_be_moved_back(clock: FakeClock) -> None:
    with pytest.raises(ValueError, match="set_wall_clock"):
        clock.advance(-1)
    for wrong in (float("nan"), float("inf"), "5", True, None):
        with pytest.raises(ValueError, match="a number of seconds or a timedelta, not"):
            clock.advance(wrong)  # type: ignore[arg-type]
