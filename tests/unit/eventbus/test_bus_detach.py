"""Subscriptions that nobody serves for a while, and deliveries that are given back."""

from __future__ import annotations

import asyncio
import threading

import pytest

from eventbus import Event, EventBus
from eventbus.errors import (
    ConsumerLostError,
    DeliveryReturnedError,
    RemoteHandlerError,
    RemoteRejectError,
)
from eventbus.log.values import Delivery
from tests.helpers.bus import LONG_S, Recorder
from tests.helpers.waiting import wait_until


def deliveries(bus: EventBus, event: Event) -> list[Delivery]:
    return bus.log.deliveries(event.sequence or 0)


def test_what_comes_while_a_subscription_is_detached_waits_for_its_return(bus: EventBus) -> None:
    first, second = Recorder(), Recorder()
    bus.subscribe("a.*", first, name="late")
    bus.publish("a.b", {"n": 1}).deliveries(LONG_S)
    bus.detach("late")
    for n in (2, 3):
        event = bus.publish("a.b", {"n": n}).wait()
        assert [d.state for d in deliveries(bus, event)] == ["pending"]
    (stats,) = bus.subscriptions()
    assert (stats.name, stats.is_active, stats.lag) == ("late", False, 2)
    bus.subscribe("a.*", second, name="late")
    second.wait_for(2)
    assert first.values("n") == [1]
    assert second.values("n") == [2, 3]


def test_detaching_lets_what_runs_end(bus: EventBus) -> None:
    has_begun, may_end = threading.Event(), threading.Event()

    def handle(event: Event) -> None:
        has_begun.set()
        assert may_end.wait(LONG_S)
        bus.publish("b.c", {"of": event["n"]})

    bus.subscribe("a.b", handle, name="slow", concurrency=1)
    events = [bus.publish("a.b", {"n": n}).wait() for n in range(3)]
    assert has_begun.wait(LONG_S)
    detaching = threading.Thread(target=bus.detach, args=("slow", LONG_S))
    detaching.start()
    may_end.set()
    detaching.join(LONG_S)
    assert not detaching.is_alive()
    states = [deliveries(bus, event)[0].state for event in events]
    assert states[0] == "succeeded"
    assert bus.served() == set()
    others = Recorder()
    bus.subscribe("a.b", others, name="slow")
    assert bus.drain(LONG_S)
    done = states.count("succeeded")
    assert others.values("n") == list(range(done, 3))


def test_what_detaching_cuts_off_runs_again_and_counts_as_no_attempt(bus: EventBus) -> None:
    has_begun = threading.Event()

    async def hang(event: Event) -> None:
        has_begun.set()
        await asyncio.sleep(LONG_S)

    bus.subscribe("a.b", hang, name="hangs")
    event = bus.publish("a.b").wait()
    assert has_begun.wait(LONG_S)
    bus.detach("hangs", timeout=0.01)
    again = Recorder()
    bus.subscribe("a.b", again, name="hangs")
    again.wait_for(1)
    assert bus.drain(LONG_S)
    (delivery,) = deliveries(bus, event)
    assert (delivery.state, delivery.attempt) == ("succeeded", 1)


def test_a_delivery_that_is_given_back_is_no_attempt_and_keeps_its_order(bus: EventBus) -> None:
    seen: list[int] = []
    times = iter([1, 2])

    async def handle(event: Event) -> None:
        if next(times, None):
            raise DeliveryReturnedError("not now")
        seen.append(event["n"])

    bus.subscribe("a.b", handle, name="picky")
    events = [bus.publish("a.b", {"n": n}, subject="s").wait() for n in range(3)]
    assert bus.drain(LONG_S)
    assert seen == [0, 1, 2]
    assert [deliveries(bus, event)[0].attempt for event in events] == [1, 1, 1]


@pytest.mark.parametrize("concurrency", [0, 1, 3])
def test_concurrency_can_change_while_a_subscription_is_served(
    bus: EventBus, concurrency: int
) -> None:
    running: set[str] = set()
    most = 0
    may_end = threading.Event()

    def handle(event: Event) -> None:
        nonlocal most
        running.add(event.subject)
        most = max(most, len(running))
        assert may_end.wait(LONG_S)
        running.discard(event.subject)

    bus.subscribe("a.b", handle, name="sized", concurrency=5)
    dispatcher = bus.dispatcher
    dispatcher.loop.call_soon_threadsafe(dispatcher.set_concurrency, "sized", concurrency)
    for n in range(10):
        bus.publish("a.b", subject=str(n))
    if concurrency:
        wait_until(lambda: len(running) == concurrency, "as many run as may")
    assert not bus.drain(0.1)
    assert most == concurrency
    may_end.set()
    dispatcher.loop.call_soon_threadsafe(dispatcher.set_concurrency, "sized", 2)
    assert bus.drain(LONG_S)


def test_a_failure_elsewhere_is_told_in_its_own_words(bus: EventBus) -> None:
    async def fail(event: Event) -> None:
        if event["how"] == "lost":
            raise ConsumerLostError("gone")
        kind = RemoteRejectError if event["how"] == "reject" else RemoteHandlerError
        raise kind("their.Error", "no\0", "Traceback: line 1")

    bus.subscribe("a.b", fail, name="elsewhere", max_attempts=2)
    found = {}
    for how in ("fail", "reject", "lost"):
        event = bus.publish("a.b", {"how": how}).wait()
        wait_until(lambda event=event: deliveries(bus, event)[0].state == "dead", "it is dead")
        found[how] = deliveries(bus, event)[0]
    assert [a.outcome for a in found["fail"].attempts] == ["failed", "failed"]
    assert found["fail"].error_class == "their.Error"
    assert found["fail"].error_message == "no\ufffd"
    assert found["fail"].attempts[0].traceback == "Traceback: line 1"
    assert len(found["reject"].attempts) == 1
    assert [a.outcome for a in found["lost"].attempts] == ["crashed", "crashed"]
