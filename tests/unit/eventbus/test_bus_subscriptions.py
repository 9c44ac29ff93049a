"""Subscriptions: names, what is durable, the start amid traffic, unsubscribing, figures."""

from __future__ import annotations

import functools
import logging
import threading
from typing import Any

import pytest

from eventbus import Event, EventBus, Pattern
from eventbus.errors import PatternError, SubscriptionError
from tests.helpers.bus import LONG_S, Recorder, open_bus
from tests.helpers.waiting import wait_until

seen: list[Event] = []


def module_handler(event: Event) -> None:
    seen.append(event)


@pytest.fixture(autouse=True)
def nothing_seen() -> None:
    seen.clear()


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
        ("a", module_handler, {"timeout": 0}, SubscriptionError, "timeout must be above 0"),
        ("a", module_handler, {"timeout": float("nan")}, SubscriptionError, "timeout must be"),
        *[
            ("a", module_handler, {name: value}, SubscriptionError, f"{name} must be .*{value!r}")
            for name, value in [
                ("max_attempts", "3"),
                ("max_attempts", 2.5),
                ("max_attempts", True),
                ("timeout", "3"),
                ("timeout", True),
                ("concurrency", "4"),
                ("concurrency", 2.5),
                ("inline", "yes"),
                ("together", 1),
                ("key", "subject"),
            ]
        ],
    ],
)
def test_a_wrong_option_is_refused(
    bus: EventBus, pattern: str, handler: Any, options: Any, error: type[Exception], rule: str
) -> None:
    with pytest.raises(error, match=rule):
        bus.subscribe(pattern, handler, **options)
    assert bus.subscriptions() == []


def generator(event: Event) -> Any:
    yield event


async def async_generator(event: Event) -> Any:
    yield event


class Generators:
    def __call__(self, event: Event) -> Any:
        yield event

    async def method(self, event: Event) -> Any:
        yield event


@pytest.mark.parametrize(
    "handler",
    [
        generator, async_generator, Generators(), Generators().method,
        functools.partial(generator), functools.partial(Generators()),
    ],
    ids=["def", "async def", "object", "method", "partial", "partial of an object"],
)  # fmt: skip
def test_a_handler_with_a_yield_is_refused_as_it_would_never_run(
    bus: EventBus, handler: Any
) -> None:
    with pytest.raises(SubscriptionError, match="must not yield"):
        bus.subscribe("a", handler, name="mine")
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


@pytest.mark.parametrize("kind", ["async", "sync"])
def test_what_a_handler_that_unsubscribes_itself_has_asked_for_is_not_lost_in_silence(
    bus: EventBus, caplog: pytest.LogCaptureFixture, kind: str
) -> None:
    def leave(event: Event) -> None:
        bus.publish("b")
        bus.unsubscribe("mine")

    async def leave_on_loop(event: Event) -> None:
        leave(event)

    bus.subscribe("a", leave if kind == "sync" else leave_on_loop, name="mine")
    (delivery,) = bus.publish("a").deliveries(LONG_S)
    assert delivery.state == "cancelled"  # and not pending: somebody waits until it is settled
    assert bus.drain(LONG_S)
    told = wait_until(
        lambda: [r.getMessage() for r in caplog.records if "was unsubscribed" in r.getMessage()],
        "it is said", LONG_S,
    )  # fmt: skip
    assert "1 events are not recorded" in told[0]
    assert bus.log.read(0, 100, Pattern("b")).events == []


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
