"""Floods and trouble: who is behind catches up in order, its lag is right, nobody else waits."""

from __future__ import annotations

import asyncio
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from eventbus import Event, EventBus, RetryPolicy
from eventbus import lane as lane_module
from eventbus import lane_reader as lane_reader_module
from tests.helpers.bus import LONG_S, Recorder, open_bus
from tests.helpers.waiting import wait_until

BY_THE_WAY = 300


def by_subject(events: list[Event]) -> dict[str, list[int]]:
    found: dict[str, list[int]] = defaultdict(list)
    for event in events:
        found[event.subject].append(event.sequence or 0)
    return dict(found)


def flood(bus: EventBus, count: int, type: str = "a", subjects: int = 20) -> None:
    for start in range(0, count, 1_000):
        numbers = range(start, min(start + 1_000, count))
        bus.publish_many([{"type": type, "subject": f"s{n % subjects}"} for n in numbers])


# -- catching up --------------------------------------------------------------------------------


def test_who_is_behind_catches_up_while_events_go_on_coming_in(
    bus: EventBus, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lane_module, "WINDOW", 50)
    monkeypatch.setattr(lane_module, "PAGE", 20)
    monkeypatch.setattr(lane_reader_module, "PAGE", 20)
    go_on, is_caught_up = threading.Event(), threading.Event()
    handler = Recorder(lambda event: go_on.wait(LONG_S))
    bus.subscribe("a", handler, name="mine", concurrency=8)
    flood(bus, 1_000)
    live = [0]

    def publish_until_caught_up() -> None:
        while not is_caught_up.is_set():
            bus.publish("a", subject=f"s{live[0] % 20}")
            live[0] += 1

    publisher = threading.Thread(target=publish_until_caught_up)
    publisher.start()
    wait_until(lambda: live[0] >= 50, "events come in behind the flood", LONG_S)
    assert len(handler.events) <= 8
    go_on.set()
    handler.wait_for(1_000 + 50)  # all of the flood and some of the new ones, while more come
    is_caught_up.set()
    publisher.join()
    assert bus.drain(LONG_S)
    expected = by_subject(bus.log.read(0, 1_000_000).events)
    assert by_subject(handler.events) == expected
    assert sum(map(len, expected.values())) == 1_000 + live[0]


# -- lag ----------------------------------------------------------------------------------------


def lag_of(bus: EventBus, name: str) -> int:
    (lag,) = [stats.lag for stats in bus.subscriptions() if stats.name == name]
    return lag


def test_the_lag_is_right_at_every_moment_for_a_hundred_thousand_pending(bus: EventBus) -> None:
    go_on, handled = threading.Event(), [0]

    async def handle(event: Event) -> None:
        if not go_on.is_set():
            await asyncio.to_thread(go_on.wait, 600.0)
        handled[0] += 1

    bus.subscribe("a", handle, name="mine", timeout=600.0)
    bus.subscribe("b", Recorder(), name="other")
    for count in range(5_000, 100_001, 5_000):
        flood(bus, 5_000, subjects=5_000)
        assert lag_of(bus, "mine") == count
    assert lag_of(bus, "other") == 0
    go_on.set()
    lags = [100_000]
    while handled[0] < 10_000:
        # What is committed lies between what was known to have succeeded and what was handled.
        (before,) = [s.succeeded for s in bus.subscriptions() if s.name == "mine"]
        lags.append(lag_of(bus, "mine"))
        assert 100_000 - handled[0] <= lags[-1] <= 100_000 - before
    assert lags == sorted(lags, reverse=True)


def test_the_lag_counts_retries_and_not_dead_letters(url: str) -> None:
    def fail(event: Event) -> None:
        raise RuntimeError(event.subject)

    slow = RetryPolicy(max_attempts=2, base_delay_s=3600.0, max_delay_s=7200.0)
    with open_bus(url, retry=slow) as bus:
        bus.subscribe("a", fail, name="retrying")
        bus.subscribe("a", fail, name="dying", max_attempts=1)
        flood(bus, 100, subjects=100)
        assert bus.drain(LONG_S)
        assert (lag_of(bus, "retrying"), lag_of(bus, "dying")) == (100, 0)


def test_a_subscription_that_nothing_serves_has_a_lag_too(url: str) -> None:
    with open_bus(url) as bus:
        bus.subscribe("a", Recorder(), name="away")
    with open_bus(url) as bus:
        flood(bus, 300)
        assert lag_of(bus, "away") == 300
        handler = Recorder()
        bus.subscribe("a", handler, name="away")
        handler.wait_for(300)
        assert bus.drain(LONG_S)
        assert lag_of(bus, "away") == 0


# -- trouble ------------------------------------------------------------------------------------

Trouble = Callable[[EventBus, threading.Event], None]


def blocks_its_threads(bus: EventBus, end: threading.Event) -> None:
    def block(event: Event) -> None:
        end.wait(LONG_S)

    bus.subscribe("trouble", block, name="trouble", timeout=600.0)


def hangs_past_its_time(bus: EventBus, end: threading.Event) -> None:
    def hang(event: Event) -> None:
        end.wait(LONG_S)

    bus.subscribe("trouble", hang, name="trouble", timeout=0.05)


def is_deaf_to_its_cancellation(bus: EventBus, end: threading.Event) -> None:
    async def deaf(event: Event) -> None:
        while not end.is_set():
            try:
                await asyncio.sleep(0.05)
            except asyncio.CancelledError:
                continue

    bus.subscribe("trouble", deaf, name="trouble", timeout=0.05)


def raises_at_once(bus: EventBus, end: threading.Event) -> None:
    async def fail(event: Event) -> None:
        if not end.is_set():
            raise RuntimeError("no")

    retry = {"max_attempts": 1_000}
    bus.subscribe("trouble", fail, name="trouble", concurrency=256, **retry)


def publishes_in_a_loop(bus: EventBus, end: threading.Event) -> None:
    async def again(event: Event) -> None:
        if not end.is_set():
            bus.publish("trouble", {"n": event.get("n", 0) + 1}, subject=event.subject)

    bus.subscribe("trouble", again, name="trouble")


def never_suspends(bus: EventBus, end: threading.Event) -> None:
    async def busy(event: Event) -> None:
        if not end.is_set():
            time.sleep(0.005)

    bus.subscribe("trouble", busy, name="trouble")


@contextmanager
def in_trouble(bus: EventBus, trouble: Trouble) -> Iterator[None]:
    """A subscription in trouble with events enough to keep it so until the end of the block."""
    end = threading.Event()
    trouble(bus, end)
    flood(bus, 3_000, "trouble", subjects=1_000)
    try:
        yield
        assert lag_of(bus, "trouble") > 0, "the trouble was over before the others were done"
    finally:
        end.set()


@pytest.mark.parametrize("trouble", [
    blocks_its_threads, hangs_past_its_time, is_deaf_to_its_cancellation, raises_at_once,
    publishes_in_a_loop, never_suspends,
])  # fmt: skip
def test_the_trouble_of_one_subscription_holds_up_no_other(
    bus: EventBus, trouble: Trouble, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("CRITICAL")  # thousands of failures are told otherwise

    async def handle_async(event: Event) -> None:
        await asyncio.sleep(0)
        done(event)

    done, threaded, ephemeral = Recorder(), Recorder(), Recorder()
    with in_trouble(bus, trouble):
        bus.subscribe("fine", handle_async, name="async")
        bus.subscribe("fine", threaded, name="threaded")
        bus.subscribe("fine", lambda event: ephemeral(event))
        flood(bus, BY_THE_WAY, "fine")
        for others in (done, threaded, ephemeral):
            assert len(others.wait_for(BY_THE_WAY)) == BY_THE_WAY
        wait_until(lambda: lag_of(bus, "async") + lag_of(bus, "threaded") == 0, "committed", LONG_S)
        assert by_subject(done.events) == by_subject(threaded.events)


def test_publishing_goes_on_while_a_handler_blocks_the_loop_and_nothing_is_lost(
    bus: EventBus,
) -> None:
    entered, end = threading.Event(), threading.Event()

    async def freeze(event: Event) -> None:
        entered.set()
        end.wait(LONG_S)

    handler = Recorder()
    bus.subscribe("freeze", freeze, name="freeze", timeout=600.0)
    bus.subscribe("a", handler, name="mine", inline=True)
    bus.publish("freeze")
    assert entered.wait(LONG_S)
    try:
        flood(
            bus, 12_000, subjects=3_000
        )  # more than is handed over to a loop that does not listen
        assert lag_of(bus, "mine") == 12_000
    finally:
        end.set()
    handler.wait_for(12_000)
    assert bus.drain(LONG_S)
    expected = {f"s{n}": list(range(n + 2, 12_002, 3_000)) for n in range(3_000)}
    assert by_subject(handler.events) == expected


def test_events_that_publish_themselves_end_as_dead_letters_that_show_the_chain(
    bus: EventBus,
) -> None:
    def forever(event: Event) -> Any:
        return bus.publish("loop", subject=event.subject)

    bus.subscribe("loop", forever, name="loop", inline=True)
    flood(bus, 50, "loop", subjects=50)
    assert bus.drain(LONG_S)
    assert bus.log.delivery_counts()["dead"] == 50
    for dead in bus.log.list_deliveries("dead", 50).deliveries:
        assert "event loop" in (dead.error_message or "")
    assert lag_of(bus, "loop") == 0
