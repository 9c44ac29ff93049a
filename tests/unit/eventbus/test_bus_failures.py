"""Failure: retries and their schedule, time-outs, dead letters, what is kept of each attempt."""

from __future__ import annotations

import asyncio
import threading
import time
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from eventbus import Event, EventBus, RetryPolicy
from eventbus.errors import CursorError, LogWriteError, RejectError, SubscriptionError
from eventbus.log import Delivery
from eventbus.statistics import served
from tests.helpers.bus import LONG_S, Failing, Recorder, open_bus
from tests.helpers.disks import fill_up, make_room
from tests.helpers.waiting import wait_until

SLOW = RetryPolicy(max_attempts=3, base_delay_s=3600.0, max_delay_s=7200.0)


def ended(bus: EventBus, sequence: int = 1) -> Delivery:
    """The one delivery of an event, once no attempt is left to be made."""
    with bus.watch(sequence) as changed:
        while True:
            (delivery,) = bus.log.deliveries(sequence)
            if delivery.state in ("succeeded", "dead"):
                return delivery
            assert changed.wait(LONG_S), f"still {delivery.state}"
            changed.clear()


def test_a_failing_handler_is_tried_again_until_it_succeeds(bus: EventBus) -> None:
    handler = Failing(times=2)
    bus.subscribe("a", handler, name="mine", max_attempts=5)
    bus.publish("a")
    delivery = ended(bus)
    assert (delivery.state, delivery.attempt, handler.calls) == ("succeeded", 3, 3)
    assert [attempt.number for attempt in delivery.attempts] == [1, 2, 3]
    assert [attempt.outcome for attempt in delivery.attempts] == ["failed", "failed", "succeeded"]
    assert delivery.error_class is None
    assert delivery.next_attempt_at is None
    assert delivery.finished_at is not None


def test_every_attempt_keeps_its_error_and_traceback(bus: EventBus) -> None:
    before = datetime.now(UTC)
    bus.subscribe("a", Failing(), name="mine")
    bus.publish("a")
    delivery = ended(bus)
    assert (delivery.state, delivery.attempt, len(delivery.attempts)) == ("dead", 3, 3)
    assert (delivery.error_class, delivery.error_message) == ("RuntimeError", "failure 3")
    for number, attempt in enumerate(delivery.attempts, start=1):
        assert attempt.error_message == f"failure {number}"
        assert attempt.traceback is not None
        assert "in __call__" in attempt.traceback
        assert f"RuntimeError: failure {number}" in attempt.traceback
        assert before - timedelta(seconds=1) <= attempt.started_at <= datetime.now(UTC)
        assert attempt.duration_ms >= 0
    started = [attempt.started_at for attempt in delivery.attempts]
    assert started == sorted(started)


def test_after_the_last_attempt_there_is_a_dead_letter(bus: EventBus) -> None:
    failing = Failing()
    bus.subscribe("a", failing, name="mine", max_attempts=2)
    bus.publish("a", id="1")
    assert ended(bus).state == "dead"
    (dead,) = bus.log.list_deliveries("dead").deliveries
    assert (dead.event_id, dead.event_type, dead.subscription) == ("1", "a", "mine")
    assert bus.log.delivery_counts() == {"pending": 0, "retrying": 0, "dead": 1}
    (stats,) = bus.subscriptions()
    assert (stats.dead, stats.failures, stats.lag, stats.succeeded) == (1, 2, 0, 0)
    assert bus.drain(LONG_S)
    assert failing.calls == 2


def test_a_rejected_event_is_a_dead_letter_at_once(bus: EventBus) -> None:
    calls: list[Event] = []

    async def reject(event: Event) -> None:
        calls.append(event)
        raise RejectError("no evaluation has a name like this")

    bus.subscribe("a", reject, name="mine", max_attempts=5)
    bus.publish("a")
    delivery = ended(bus)
    assert (delivery.state, delivery.attempt, len(calls)) == ("dead", 1, 1)
    assert delivery.error_class == "RejectError"


def test_a_retry_shows_when_it_is_due(url: str) -> None:
    with open_bus(url, retry=SLOW) as bus:
        bus.subscribe("a", Failing(), name="mine")
        (delivery,) = bus.publish("a").deliveries(LONG_S, until="attempted")
        assert (delivery.state, delivery.attempt) == ("retrying", 1)
        assert delivery.next_attempt_at is not None
        left = delivery.next_attempt_at - datetime.now(UTC)
        # jitter only lengthens, so that a countdown is never too long
        assert timedelta(seconds=3590) < left < timedelta(seconds=3600 * 1.25 + 1)
        assert bus.drain(LONG_S)  # which does not wait for what is due in an hour
        (stats,) = bus.subscriptions()
        assert (stats.retrying, stats.lag) == (1, 1)
        assert [d.sequence for d in bus.log.list_deliveries("retrying").deliveries] == [1]


@given(st.integers(1, 100_000), st.floats(0.001, 1000.0), st.floats(0.001, 10_000.0))
def test_delays_double_up_to_the_limit_and_jitter_only_lengthens(
    attempt: int, base_s: float, most_s: float
) -> None:
    delay_s = RetryPolicy(base_delay_s=base_s, max_delay_s=most_s).delay_s(attempt)
    least_s = min(most_s, base_s * 2.0 ** min(attempt - 1, 200))
    assert least_s <= delay_s <= least_s * 1.2500001


def test_the_default_policy_is_the_one_of_the_documentation() -> None:
    policy = RetryPolicy()
    assert (policy.max_attempts, policy.timeout_s) == (5, 30.0)
    assert (policy.base_delay_s, policy.max_delay_s) == (1.0, 300.0)


@pytest.mark.parametrize("wrong", [
    {"max_attempts": 0}, {"timeout_s": 0}, {"timeout_s": -1.0}, {"base_delay_s": 0},
    {"max_delay_s": float("nan")},
])  # fmt: skip
def test_a_policy_that_makes_no_sense_is_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(SubscriptionError, match=next(iter(wrong))):
        RetryPolicy(**wrong)


# -- time-outs ----------------------------------------------------------------------------------


def test_an_async_handler_that_takes_too_long_is_cancelled(bus: EventBus) -> None:
    cancelled: list[int] = []

    async def slow(event: Event) -> None:
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            cancelled.append(1)
            raise

    bus.subscribe("a", slow, name="mine", timeout=0.05, max_attempts=2)
    bus.publish("a")
    delivery = ended(bus)
    assert [attempt.outcome for attempt in delivery.attempts] == ["timeout", "timeout"]
    assert (delivery.state, delivery.error_class) == ("dead", "HandlerTimeoutError")
    assert "longer than its 0.05 s" in (delivery.error_message or "")
    assert cancelled == [1, 1]
    for attempt in delivery.attempts:
        assert 50 <= attempt.duration_ms < 5_000


def test_an_async_handler_that_swallows_its_cancellation_is_timed_out_all_the_same(
    bus: EventBus,
) -> None:
    async def stubborn(event: Event) -> None:
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            return

    other = Recorder()
    bus.subscribe("a", stubborn, name="mine", timeout=0.05, max_attempts=1)
    bus.subscribe("b", other, name="other")
    bus.publish("a")
    delivery = ended(bus)
    assert (delivery.state, delivery.attempts[0].outcome) == ("dead", "timeout")
    bus.publish("b")
    other.wait_for(1)


def test_an_async_handler_that_ignores_its_cancellation_is_given_up(bus: EventBus) -> None:
    free = asyncio.Event()
    calls = Recorder()

    async def deaf(event: Event) -> None:
        calls(event)
        if event["n"] == 2:
            free.set()
        while event["n"] == 1 and not free.is_set():
            try:
                await free.wait()
            except asyncio.CancelledError:
                continue

    bus.subscribe("a", deaf, name="mine", timeout=0.3, max_attempts=1)
    bus.publish("a", {"n": 1})
    bus.publish("a", {"n": 2})  # the same subject: it comes when the first is given up
    assert ended(bus, 1).attempts[0].outcome == "timeout"
    assert ended(bus, 2).state == "succeeded"


def test_a_sync_handler_that_takes_too_long_is_counted_and_its_result_ignored(
    bus: EventBus,
) -> None:
    go_on = threading.Event()
    calls = Recorder(lambda event: go_on.wait(LONG_S))
    bus.subscribe("a", calls, name="mine", timeout=0.05, max_attempts=2, concurrency=4)
    bus.publish("a")
    delivery = ended(bus)
    assert [attempt.outcome for attempt in delivery.attempts] == ["timeout", "timeout"]
    assert len(calls.wait_for(2)) == 2  # given up as it may be before it has come to this
    go_on.set()


def test_threads_that_hang_count_for_the_concurrency_until_they_return(bus: EventBus) -> None:
    go_on = threading.Event()
    running, most = [0], [0]
    lock = threading.Lock()

    def hang(event: Event) -> None:
        with lock:
            running[0] += 1
            most[0] = max(most[0], running[0])
        assert go_on.wait(LONG_S)
        with lock:
            running[0] -= 1

    bus.subscribe("a", hang, name="mine", timeout=0.8, max_attempts=1, concurrency=2)
    bus.publish_many([{"type": "a", "subject": f"s{number}"} for number in range(6)])
    for sequence in (1, 2):
        assert ended(bus, sequence).state == "dead"
    assert most[0] == 2
    go_on.set()
    for sequence in range(3, 7):
        assert ended(bus, sequence).state == "succeeded"
    assert most[0] == 2


def test_what_finishes_in_time_is_not_cancelled(bus: EventBus) -> None:
    async def handler(event: Event) -> None:
        await asyncio.sleep(0.06)  # longer than the watchdog's step, shorter than the time-out

    bus.subscribe("a", handler, name="mine", timeout=5.0)
    bus.publish_many([{"type": "a", "subject": f"s{number}"} for number in range(5)])
    assert bus.drain(LONG_S)
    states = [bus.log.deliveries(sequence)[0].state for sequence in range(1, 6)]
    assert states == ["succeeded"] * 5


# -- errors of every kind -----------------------------------------------------------------------


class UnprintableError(Exception):
    """An error whose message cannot be made."""

    def __str__(self) -> str:
        raise ValueError("no message")


@pytest.mark.parametrize(
    ("error", "error_class", "message"),
    [
        (ValueError("plain"), "ValueError", "plain"),
        (KeyError("eval_id"), "KeyError", "'eval_id'"),
        (SystemExit(3), "SystemExit", "3"),
        (KeyboardInterrupt(), "KeyboardInterrupt", ""),
        (MemoryError("none left"), "MemoryError", "none left"),
        (RecursionError("too deep"), "RecursionError", "too deep"),
        (StopIteration("odd"), "RuntimeError", "StopIteration"),
        (asyncio.CancelledError("self-made"), "CancelledError", "self-made"),
        (ValueError("nul \x00 and \ud83d"), "ValueError", "nul \ufffd and ?"),
        (ValueError("x" * 100_000), "ValueError", "xxx"),
        (UnprintableError(), "UnprintableError", "cannot be shown"),
    ],
)
@pytest.mark.parametrize("kind", ["sync", "async", "inline"])
def test_any_error_is_a_failed_attempt_and_the_bus_goes_on(
    bus: EventBus, kind: str, error: BaseException, error_class: str, message: str
) -> None:
    async def raise_later(event: Event) -> None:
        await asyncio.sleep(0)
        raise error

    def raise_at_once(event: Event) -> None:
        raise error

    handler: Any = raise_later if kind == "async" else raise_at_once
    bus.subscribe("a", handler, name="mine", max_attempts=1, inline=kind == "inline")
    bus.publish("a")
    delivery = ended(bus)
    assert delivery.state == "dead"
    if not isinstance(error, StopIteration) or kind != "inline":
        assert delivery.error_class == error_class
        assert message in (delivery.error_message or "")
    assert len(delivery.error_message or "") <= 2_000
    assert len(delivery.attempts[0].traceback or "") <= 25_000
    other = Recorder()
    bus.subscribe("b", other, name="other")
    bus.publish("b")
    other.wait_for(1)


def test_a_failing_lambda_is_retried_and_then_given_up(bus: EventBus) -> None:
    failing = Failing()
    bus.subscribe("a", lambda event: failing(event), max_attempts=3)
    bus.publish("a")
    wait_until(lambda: failing.calls == 3, "three attempts")
    assert bus.drain(LONG_S)
    wait_until(lambda: bus.subscriptions()[0].lag == 0, "given up")
    assert bus.log.deliveries(1) == []
    assert failing.calls == 3


# -- the storage's fault ------------------------------------------------------------------------


def test_a_full_disk_is_not_the_handlers_failure(bus: EventBus) -> None:
    entered, go_on = threading.Event(), threading.Event()
    calls = Recorder()

    def handle(event: Event) -> None:
        calls(event)
        entered.set()
        assert go_on.wait(LONG_S)
        bus.publish("big", {"text": "x" * 200_000})

    bus.subscribe("a", handle, name="mine", max_attempts=1)
    bus.publish("a")
    assert entered.wait(LONG_S)
    fill_up(bus)
    go_on.set()
    with pytest.raises(LogWriteError):
        bus.publish("other", {"text": "x" * 200_000})
    assert bus.log.deliveries(1)[0].state == "pending"
    make_room(bus)
    delivery = ended(bus)
    assert (delivery.state, delivery.attempt, len(calls.events)) == ("succeeded", 1, 1)
    assert [event.type for event in bus.log.read(0).events] == ["a", "big"]


# -- lists of deliveries ------------------------------------------------------------------------


def test_dead_letters_are_listed_newest_first_page_by_page(bus: EventBus) -> None:
    for name in ("one", "two", "three"):
        bus.subscribe("a", Failing(), name=name, max_attempts=1)
    bus.publish_many([{"type": "a", "subject": f"s{number}"} for number in range(7)])
    wait_until(lambda: bus.log.delivery_counts()["dead"] == 21, "all are dead")
    for limit in (1, 2, 5, 21, 50):
        found: list[tuple[int, str]] = []
        cursor: str | None = None
        while True:
            page = bus.log.list_deliveries("dead", limit, cursor)
            assert len(page.deliveries) <= limit
            found += [(d.sequence, d.subscription) for d in page.deliveries]
            cursor = page.next
            if cursor is None:
                break
        names = ["one", "two", "three"]
        assert found == [(sequence, name) for sequence in range(7, 0, -1) for name in names]
    assert bus.log.list_deliveries("dead").deliveries[0].attempts[0].outcome == "failed"
    for cursor in ("", "x", "MQ"):
        with pytest.raises(CursorError):
            bus.log.list_deliveries("dead", 5, cursor)


def test_a_storm_of_failures_does_not_starve_what_works(bus: EventBus) -> None:
    def handle(event: Event) -> None:
        if event["bad"]:
            raise RuntimeError("bad")

    bus.subscribe("a", handle, name="mine", max_attempts=2)
    started = time.monotonic()
    bus.publish_many([
        {"type": "a", "subject": f"s{number}", "data": {"bad": number % 2 == 0}}
        for number in range(400)
    ])  # fmt: skip
    wait_until(lambda: bus.log.delivery_counts()["dead"] == 200, "half of them are dead", LONG_S)
    assert bus.drain(LONG_S)
    assert bus.log.delivery_counts() == {"pending": 0, "retrying": 0, "dead": 200}
    assert time.monotonic() - started < LONG_S


def test_attempts_are_counted_from_when_this_process_serves_and_failures_ever(url: str) -> None:
    """What an earlier process, or another one, did is not counted as this one's attempts."""
    for served_before in (0, 2):
        with open_bus(url) as bus:
            bus.subscribe("a", Failing(), name="mine", max_attempts=2)
            ended(bus, bus.publish("a").event.sequence or 0)
            (one,) = served(bus.dispatcher.lanes())
            assert (one.succeeded, one.retried, one.died) == (0, 1, 1)
            (stats,) = bus.subscriptions()
            assert stats.failures == served_before + 2
