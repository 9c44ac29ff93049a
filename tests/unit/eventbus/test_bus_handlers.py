"""Handlers: every kind of callable, where it runs, and that none disturbs another."""

from __future__ import annotations

import asyncio
import functools
import threading
import time
from typing import Any

import pytest

from eventbus import Event, EventBus, Pattern
from tests.helpers.bus import LONG_S, Failing, Recorder

seen: list[Event] = []


def module_handler(event: Event) -> None:
    seen.append(event)


async def async_module_handler(event: Event) -> None:
    await asyncio.sleep(0)
    seen.append(event)


class Counter:
    """A class whose bound methods are handlers."""

    def __init__(self) -> None:
        self.events: list[Event] = []

    def count(self, event: Event) -> None:
        self.events.append(event)

    async def count_later(self, event: Event) -> None:
        await asyncio.sleep(0)
        self.events.append(event)


class AsyncCallable:
    """An object that is called like a coroutine function."""

    def __init__(self) -> None:
        self.threads: set[str] = set()

    async def __call__(self, event: Event) -> None:
        self.threads.add(threading.current_thread().name)


@pytest.fixture(autouse=True)
def nothing_seen() -> None:
    seen.clear()


@pytest.mark.parametrize("handler", [module_handler, async_module_handler])
def test_a_function_handles_events(bus: EventBus, handler: Any) -> None:
    subscription = bus.subscribe("a.*", handler)
    bus.publish("a.b", {"n": 1})
    bus.publish("c")
    bus.publish("a.c.d", {"n": 2})
    assert bus.drain(LONG_S)
    assert [event["n"] for event in seen] == [1, 2]
    assert [event.sequence for event in seen] == [1, 3]
    assert subscription.name == f"{__name__}:{handler.__name__}"
    assert subscription.is_durable


@pytest.mark.parametrize("method", ["count", "count_later"])
def test_a_bound_method_handles_events(bus: EventBus, method: str) -> None:
    counter = Counter()
    subscription = bus.subscribe("a", getattr(counter, method))
    bus.publish("a")
    assert bus.drain(LONG_S)
    assert len(counter.events) == 1
    assert subscription.name == f"{__name__}:Counter.{method}"
    assert subscription.is_durable


def test_what_a_lambda_returns_is_awaited(bus: EventBus) -> None:
    counter = Counter()
    bus.subscribe("a", lambda event: counter.count_later(event), name="lambda")
    bus.subscribe("a", functools.partial(async_module_handler), name="partial")
    (first, second) = bus.publish("a").deliveries(LONG_S)
    assert (first.state, second.state) == ("succeeded", "succeeded")
    assert len(counter.events) == 1
    assert len(seen) == 1


def test_a_decorated_function_stays_what_it_is(bus: EventBus) -> None:
    got: list[str] = []

    @bus.on("a", name="decorated", max_attempts=7, timeout=3.0, concurrency=2)
    def handler(event: Event) -> None:
        got.append(event.id)

    bus.publish("a", id="1")
    assert bus.drain(LONG_S)
    handler(Event.create("a", id="direct"))
    assert got == ["1", "direct"]


def test_async_handlers_run_on_the_loop_and_sync_ones_in_threads(bus: EventBus) -> None:
    threads: dict[str, str] = {}
    on_loop = AsyncCallable()

    def note(kind: str) -> None:
        threads[kind] = threading.current_thread().name

    bus.subscribe("a", lambda event: note("sync"), name="sync")
    bus.subscribe("a", lambda event: note("inline"), name="inline", inline=True)
    bus.subscribe("a", on_loop, name="async")
    bus.publish("a")
    assert bus.drain(LONG_S)
    assert threads["sync"].startswith("eventbus-worker")
    assert threads["inline"] == "eventbus-loop"
    assert on_loop.threads == {"eventbus-loop"}


def test_a_blocking_sync_handler_stalls_nobody(bus: EventBus) -> None:
    go_on = threading.Event()
    blocked, quick, later = Recorder(lambda event: go_on.wait(LONG_S)), Recorder(), Recorder()

    async def asynchronous(event: Event) -> None:
        later(event)

    bus.subscribe("a", blocked, name="blocked", concurrency=4)
    bus.subscribe("a", quick, name="quick")
    bus.subscribe("a", asynchronous, name="asynchronous")
    for number in range(20):
        bus.publish("a", subject=f"s{number}")
    quick.wait_for(20)
    later.wait_for(20)
    assert len(blocked.wait_for(4)) == 4  # as many as its concurrency, and no more
    assert not bus.drain(0.01)
    go_on.set()
    assert bus.drain(LONG_S)
    assert len(blocked.events) == 20


def test_a_handler_that_fails_disturbs_no_other(bus: EventBus) -> None:
    quick = Recorder()
    bus.subscribe("#", Failing(), name="failing")
    bus.subscribe("#", quick, name="quick")
    for number in range(10):
        bus.publish("a", subject=f"s{number}")
    assert len(quick.wait_for(10)) == 10


def test_every_handler_gets_a_payload_of_its_own(bus: EventBus) -> None:
    def spoil(event: Event) -> None:
        event.data["list"].append("spoilt")

    kept = Recorder()
    for number in range(3):
        bus.subscribe("a", spoil, name=f"spoil{number}", inline=True)
    bus.subscribe("a", kept, name="kept")
    receipt = bus.publish("a", {"list": []})
    assert bus.drain(LONG_S)
    assert kept.events[0].data == {"list": []}
    assert receipt.event.data == {"list": []}


def test_a_subscriber_may_take_patterns_of_any_form(bus: EventBus) -> None:
    handler = Recorder()
    bus.subscribe(Pattern("a.#"), handler, name="pattern")
    bus.publish_many([{"type": "a"}, {"type": "b"}, {"type": "a.b.c"}])
    assert bus.drain(LONG_S)
    assert [event.type for event in handler.events] == ["a", "a.b.c"]


def test_a_slow_handler_does_not_slow_publishing(bus: EventBus) -> None:
    go_on = threading.Event()
    bus.subscribe("a", lambda event: go_on.wait(LONG_S), name="slow", concurrency=1)
    started = time.monotonic()
    for _ in range(200):
        bus.publish("a")
    assert time.monotonic() - started < LONG_S / 2
    go_on.set()
    assert bus.drain(LONG_S)
