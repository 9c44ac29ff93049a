"""A wall clock that is set, backwards or forwards: nothing waits for it, nothing runs backwards."""

from __future__ import annotations

import time
from datetime import timedelta

import pytest

from eventbus import Event, EventBus, RetryPolicy
from eventbus.clock import SystemClock
from eventbus.log import EventLog
from tests.helpers.bus import LONG_S, Failing, Recorder
from tests.helpers.waiting import wait_until

HOUR_NS = 3_600 * 10**9
QUICK = RetryPolicy(max_attempts=3, base_delay_s=0.05, max_delay_s=0.1)


class SetClock(SystemClock):
    """The computer's, with its wall clock set wrong by ``offset_ns``."""

    offset_ns = 0

    def time_ns(self) -> int:  # type: ignore[override]
        return time.time_ns() + self.offset_ns


@pytest.mark.parametrize("step_ns", [-HOUR_NS, HOUR_NS])
def test_attempts_take_as_long_as_they_take_while_the_clock_is_set(url: str, step_ns: int) -> None:
    clock = SetClock()

    def set_clock(event: Event) -> None:
        clock.offset_ns += step_ns
        if event.type == "bad":
            raise RuntimeError("bad")

    with EventBus(EventLog(url), retry=QUICK, clock=clock) as bus:
        bus.subscribe("#", set_clock, name="mine")
        for type in ("good", "bad", "good", "bad"):
            bus.publish(type)
        wait_until(lambda: bus.log.delivery_counts()["dead"] == 2, "both are given up")
        assert bus.drain(LONG_S)
        assert [event.sequence for event in bus.log.read(0).events] == [1, 2, 3, 4]
        for sequence in range(1, 5):
            (delivery,) = bus.log.deliveries(sequence)
            spans = [delivery.duration_ms, *(attempt.duration_ms for attempt in delivery.attempts)]
            assert all(span is not None and 0 <= span < 60_000 for span in spans), spans
        (stats,) = bus.subscriptions()
        assert stats.p99_ms is not None
        assert 0 <= stats.p99_ms < 60_000


def test_a_retry_is_never_shown_or_made_later_than_its_longest_delay(url: str) -> None:
    clock = SetClock()
    slow = RetryPolicy(max_attempts=3, base_delay_s=100.0, max_delay_s=100.0)

    def set_back(_event: Event) -> None:
        clock.offset_ns -= HOUR_NS
        raise RuntimeError("bad")

    with EventBus(EventLog(url), retry=slow, clock=clock) as bus:
        bus.subscribe("a", set_back, name="mine")
        (delivery,) = bus.publish("a").deliveries(LONG_S, until="attempted")
        assert delivery.state == "retrying"
        assert delivery.next_attempt_at is not None
        left = delivery.next_attempt_at.timestamp() - clock.time_ns() / 1e9
        assert timedelta(seconds=left) <= timedelta(seconds=slow.longest_delay_s)


def test_a_restart_with_a_clock_set_back_by_a_day_puts_off_no_retry(url: str) -> None:
    slow = RetryPolicy(max_attempts=3, base_delay_s=60.0, max_delay_s=60.0)  # not in this bus
    with EventBus(EventLog(url), retry=slow) as bus:
        bus.subscribe("a", Failing(times=1), name="mine")
        bus.publish("a").deliveries(LONG_S, until="attempted")
    clock = SetClock()
    clock.offset_ns = -24 * HOUR_NS
    with EventBus(EventLog(url), retry=QUICK, clock=clock) as bus:
        bus.subscribe("a", recorder := Recorder(), name="mine")
        recorder.wait_for(1)
        assert bus.publish("a").event.sequence == 2
