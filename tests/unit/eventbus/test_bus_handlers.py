"""Handlers and subscriptions: all kinds of callables, names, isolation, unsubscribing, figures."""

from __future__ import annotations

import asyncio
import functools
import logging
import threading
import time
from typing import Any

import pytest

from eventbus import Event, EventBus, Pattern
from eventbus.errors import PatternError, SubscriptionError
from tests.helpers.bus import LONG_S, Failing, Recorder, open_bus

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


@pytest.mark.parametrize(
    ("pattern", "handler", "options", "error", "rule"),
    [
        ("a..b", module_handler, {}, PatternError, "empty segment"),
        ("a", "not callable", {}, SubscriptionError, "must be callable"),
        ("a", module_handler, {"name": ""}, SubscriptionError, "name must be"),
        ("a", module_handler, {"name": "a\nb"}, SubscriptionError, "name must be"),
        ("a", module_handler, {"name": "x" * 201}, SubscriptionError, "name must be"),
        ("a", module_handler, {"concurrency": 0}, SubscriptionError, "concurrency must be"),
        ("a", module_handler, {"max_attempts": 0}, SubscriptionError, "max_attempts must be"),
        ("a", module_handler, {"timeout": 0}, SubscriptionError, "timeout_s must be"),
        ("a", module_handler, {"timeout": float("nan")}, SubscriptionError, "timeout_s must be"),
    ],
)
def test_a_wrong_option_is_refused(
    bus: EventBus, pattern: str, handler: Any, options: Any, error: type[Exception], rule: str
) -> None:
    with pytest.raises(error, match=rule):
        bus.subscribe(pattern, handler, **options)
    assert bus.subscriptions() == []


# -- names --------------------------------------------------------------------------------------


def test_a_name_can_be_taken_once(bus: EventBus) -> None:
    bus.subscribe("a", Recorder(), name="mine")
    with pytest.raises(SubscriptionError, match="'mine' is taken"):
        bus.subscribe("b", Recorder(), name="mine")


def test_a_function_may_handle_several_patterns(bus: EventBus) -> None:
    bus.subscribe("a", module_handler)
    second = bus.subscribe("b", module_handler)
    assert second.name == f"{__name__}:module_handler[b]"
    bus.publish_many([{"type": "a"}, {"type": "b"}])
    assert bus.drain(LONG_S)
    assert sorted(event.type for event in seen) == ["a", "b"]
    with pytest.raises(SubscriptionError, match="subscribed to b already"):
        bus.subscribe("b", module_handler)


def test_a_durable_subscription_gets_what_came_while_it_was_away(url: str) -> None:
    with open_bus(url) as bus:
        bus.publish("a", id="before it existed")
        bus.subscribe("a", Recorder(), name="mine")
    with open_bus(url) as bus:
        bus.publish("a", id="while away")
    with open_bus(url) as bus:
        bus.publish("a", id="just before")
        handler = Recorder()
        bus.subscribe("a", handler, name="mine")
        bus.publish("a", id="live")
        assert bus.drain(LONG_S)
        assert [event.id for event in handler.events] == ["while away", "just before", "live"]


def test_a_durable_subscription_may_change_its_pattern(url: str) -> None:
    with open_bus(url) as bus:
        bus.subscribe("a", Recorder(), name="mine")
    with open_bus(url) as bus:
        handler = Recorder()
        bus.subscribe("b", handler, name="mine")
        bus.publish_many([{"type": "a"}, {"type": "b"}])
        assert bus.drain(LONG_S)
        assert [event.type for event in handler.events] == ["b"]


def test_a_lambda_is_served_while_it_lives(bus: EventBus, caplog: pytest.LogCaptureFixture) -> None:
    bus.publish("a", id="too early")
    with caplog.at_level(logging.INFO, logger="eventbus"):
        got: list[str] = []
        subscription = bus.subscribe("a", lambda event: got.append(event.id))
    assert not subscription.is_durable
    assert "no stable name" in caplog.text
    bus.publish("a", id="1")
    assert bus.drain(LONG_S)
    bus.unsubscribe(subscription)
    bus.publish("a", id="2")
    assert bus.drain(LONG_S)
    assert got == ["1"]
    assert bus.log.subscribers() == []


def test_a_lambda_gets_what_is_published_right_after_it_subscribed(bus: EventBus) -> None:
    # The loop is kept busy, so that it hears of the subscription after the event is recorded.
    entered, go_on = threading.Event(), threading.Event()

    def occupy(event: Event) -> None:
        entered.set()
        assert go_on.wait(LONG_S)

    bus.subscribe("busy", occupy, name="busy", inline=True)
    bus.publish("busy")
    assert entered.wait(LONG_S)
    got = Recorder()
    bus.subscribe("a", lambda event: got(event))
    bus.publish("a", id="1")
    go_on.set()
    assert [event.id for event in got.wait_for(1)] == ["1"]
    bus.publish("a", id="2")
    assert bus.drain(LONG_S)
    assert [event.id for event in got.events] == ["1", "2"]


def test_a_subscription_that_starts_amid_traffic_gets_each_event_once(url: str) -> None:
    with open_bus(url) as bus:
        bus.subscribe("a", Recorder(), name="mine")
    with open_bus(url) as bus:
        bus.publish_many([{"type": "a", "subject": f"s{n % 7}"} for n in range(700)])
        publishers = [
            threading.Thread(
                target=lambda: [bus.publish("a", subject=f"s{n % 7}") for n in range(100)]
            )
            for _ in range(3)
        ]
        for publisher in publishers:
            publisher.start()
        handler = Recorder()
        bus.subscribe("a", handler, name="mine")
        for publisher in publishers:
            publisher.join()
        assert bus.drain(LONG_S)
        sequences = sorted(event.sequence or 0 for event in handler.events)
        assert sequences == list(range(1, 1001))


# -- unsubscribing ------------------------------------------------------------------------------


def test_an_unsubscribed_handler_gets_nothing_more(bus: EventBus) -> None:
    handler, other = Recorder(), Recorder()
    subscription = bus.subscribe("a", handler, name="mine")
    bus.subscribe("a", other, name="other")
    bus.publish("a")
    assert bus.drain(LONG_S)
    bus.unsubscribe(subscription)
    bus.publish("a")
    assert bus.drain(LONG_S)
    assert len(handler.events) == 1
    assert len(other.events) == 2
    assert [stats.name for stats in bus.subscriptions()] == ["other"]
    with pytest.raises(SubscriptionError, match="no subscription is named 'mine'"):
        bus.unsubscribe("mine")


def test_unsubscribing_cancels_what_was_not_finished(bus: EventBus) -> None:
    go_on = threading.Event()
    handler = Recorder(lambda event: go_on.wait(LONG_S))
    bus.subscribe("a", handler, name="mine")
    receipts = [bus.publish("a", subject="same") for _ in range(3)]
    handler.wait_for(1)
    bus.unsubscribe("mine")
    go_on.set()
    assert bus.drain(LONG_S)
    states = [bus.log.deliveries(r.event.sequence or 0)[0].state for r in receipts]
    assert states == ["cancelled"] * 3
    assert len(handler.events) == 1
    assert bus.log.delivery_counts() == {"pending": 0, "retrying": 0, "dead": 0}


def test_a_name_is_free_again_after_unsubscribing(bus: EventBus) -> None:
    for _ in range(3):
        handler = Recorder()
        bus.subscribe("a", handler, name="mine")
        bus.publish("a")
        assert bus.drain(LONG_S)
        assert len(handler.events) == 1
        bus.unsubscribe("mine")


def test_a_stored_subscription_that_nothing_serves_can_be_forgotten(url: str) -> None:
    with open_bus(url) as bus:
        bus.subscribe("a", Recorder(), name="old")
    with open_bus(url) as bus:
        bus.publish("a")
        (stats,) = bus.subscriptions()
        assert (stats.name, stats.is_active, stats.is_durable, stats.lag) == ("old", False, True, 1)
        bus.unsubscribe("old")
        assert bus.subscriptions() == []
        assert bus.log.delivery_counts()["pending"] == 0


def test_a_handler_may_subscribe_and_unsubscribe(bus: EventBus) -> None:
    later = Recorder()

    async def handler(event: Event) -> None:
        bus.subscribe("b", later, name="later")
        bus.unsubscribe("first")

    bus.subscribe("a", handler, name="first")
    bus.publish("a")
    assert bus.drain(LONG_S)
    bus.publish("b")
    later.wait_for(1)
    assert [stats.name for stats in bus.subscriptions()] == ["later"]


# -- looking ------------------------------------------------------------------------------------


def test_statistics_tell_how_a_subscription_does(bus: EventBus) -> None:
    go_on = threading.Event()
    handler = Recorder(lambda event: go_on.wait(LONG_S))
    bus.subscribe("a.*", handler, name="mine", concurrency=2)
    for number in range(5):
        bus.publish("a.b", subject=f"s{number}")
    handler.wait_for(2)
    (stats,) = bus.subscriptions()
    assert (stats.name, stats.pattern, stats.is_active) == ("mine", "a.*", True)
    assert (stats.lag, stats.running, stats.p50_ms) == (5, 2, None)
    runs = bus.running()
    assert [(run.subscription, run.attempt) for run in runs] == [("mine", 1), ("mine", 1)]
    assert {run.sequence for run in runs} == {1, 2}
    go_on.set()
    assert bus.drain(LONG_S)
    (stats,) = bus.subscriptions()
    assert (stats.lag, stats.running, stats.succeeded, stats.failures) == (0, 0, 5, 0)
    assert stats.p50_ms is not None
    assert stats.p99_ms is not None
    assert 0 <= stats.p50_ms <= stats.p99_ms
    assert bus.running() == []


def test_a_slow_handler_does_not_slow_publishing(bus: EventBus) -> None:
    go_on = threading.Event()
    bus.subscribe("a", lambda event: go_on.wait(LONG_S), name="slow", concurrency=1)
    started = time.monotonic()
    for _ in range(200):
        bus.publish("a")
    assert time.monotonic() - started < LONG_S / 2
    go_on.set()
    assert bus.drain(LONG_S)


def test_closing_with_a_hung_handler_is_quick_and_loses_nothing(url: str) -> None:
    never = threading.Event()
    hung = Recorder(lambda event: never.wait(LONG_S))
    bus = open_bus(url)
    bus.subscribe("a", hung, name="mine")
    bus.publish("a")
    hung.wait_for(1)
    started = time.monotonic()
    bus.close(timeout=0.3)
    assert time.monotonic() - started < 2.0
    with open_bus(url) as bus:
        handler = Recorder()
        bus.subscribe("a", handler, name="mine")
        handler.wait_for(1)
        assert bus.drain(LONG_S)
        (delivery,) = bus.log.deliveries(1)
        assert (delivery.state, delivery.attempt) == ("succeeded", 1)
    never.set()


def test_closing_with_a_handler_that_blocks_the_loop_is_quick(url: str) -> None:
    entered, never = threading.Event(), threading.Event()

    async def blocks(event: Event) -> None:
        entered.set()
        never.wait(LONG_S)

    bus = open_bus(url)
    bus.subscribe("a", blocks, name="mine")
    bus.publish("a")
    assert entered.wait(LONG_S)
    started = time.monotonic()
    bus.close()
    assert time.monotonic() - started < 3.0  # what a stop of the server may take
    never.set()


def test_a_handler_that_is_nearly_done_may_finish_while_the_bus_closes(url: str) -> None:
    entered, go_on = threading.Event(), threading.Event()

    def handle(event: Event) -> None:
        entered.set()
        assert go_on.wait(LONG_S)

    bus = open_bus(url)
    bus.subscribe("a", handle, name="mine")
    bus.publish("a")
    assert entered.wait(LONG_S)
    closing = threading.Thread(target=bus.close, args=(LONG_S,))
    closing.start()
    go_on.set()
    closing.join()
    with open_bus(url) as bus:
        assert bus.log.deliveries(1)[0].state == "succeeded"
