"""A handler that waits for what cannot happen while it runs is told so, and stops nobody."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import pytest

from eventbus import Event, EventBus
from eventbus.errors import BusClosedError, WaitingError
from eventbus.log import Replayed
from eventbus.receipt import Receipt
from tests.helpers.bus import LONG_S, Recorder, open_bus
from tests.helpers.waiting import wait_until


def wait_for_operation(bus: EventBus) -> object:
    return bus.operations.wait(bus.operations.replay(Replayed("other"), by="me").id)


CALLS: dict[str, Callable[[EventBus], object]] = {
    "drain": lambda bus: bus.drain(),
    "close": lambda bus: bus.close(),
    "detach": lambda bus: bus.detach("other"),
    "operations.wait": wait_for_operation,
    "operations.stop": lambda bus: bus.operations.stop(1, by="me"),
    "operations.retry_now": lambda bus: bus.operations.retry_now([(1, "other")], by="me"),
}


@pytest.mark.parametrize("call", CALLS)
@pytest.mark.parametrize("kind", ["async", "inline"])
def test_what_waits_for_the_loop_is_refused_on_it_and_the_bus_goes_on(
    bus: EventBus, call: str, kind: str
) -> None:
    told: list[object] = []

    def ask(event: Event) -> None:
        try:
            told.append(CALLS[call](bus))
        except WaitingError as error:
            told.append(error)

    async def ask_on_loop(event: Event) -> None:
        ask(event)

    bus.subscribe("b", Recorder(), name="other")
    handler: Any = ask if kind == "inline" else ask_on_loop
    bus.subscribe("a", handler, name="mine", inline=kind == "inline")
    assert bus.publish("a").deliveries(LONG_S)[0].state == "succeeded"
    assert isinstance(told[0], WaitingError), told
    assert call in str(told[0])
    assert bus.publish("b").deliveries(LONG_S)[0].state == "succeeded"


def test_a_receipt_of_an_earlier_event_is_not_waited_for_on_the_loop(bus: EventBus) -> None:
    told: list[str] = []
    waiting: list[Receipt] = []
    may_go = threading.Event()

    async def ask(event: Event) -> None:
        try:
            waiting[0].deliveries()
        except WaitingError as error:
            told.append(str(error))

    bus.subscribe("b", lambda event: may_go.wait(LONG_S), name="slow")
    bus.subscribe("a", ask, name="mine")
    waiting.append(bus.publish("b"))
    assert bus.publish("a").deliveries(LONG_S)[0].state == "succeeded"
    may_go.set()
    assert len(told) == 1
    assert waiting[0].deliveries(LONG_S)[0].state == "succeeded"


def test_draining_in_a_sync_handler_is_refused_as_it_would_wait_for_itself(bus: EventBus) -> None:
    told: list[str] = []

    def ask(event: Event) -> None:
        try:
            bus.drain()
        except WaitingError as error:
            told.append(str(error))

    bus.subscribe("a", ask, name="mine")
    assert bus.publish("a").deliveries(LONG_S)[0].state == "succeeded"
    assert told == ["drain would wait for mine, which calls it, too"]


def test_an_async_handler_may_pause_a_subscription(bus: EventBus) -> None:
    async def pause(event: Event) -> None:
        bus.pauses.pause("other", by="me")

    other = Recorder()
    bus.subscribe("b", other, name="other")
    bus.subscribe("a", pause, name="mine")
    assert bus.publish("a").deliveries(LONG_S)[0].state == "succeeded"
    bus.publish("b")
    bus.pauses.resume("other", by="me")
    wait_until(lambda: len(other.wait_for(0)) == 1, "it goes on", LONG_S)


def test_draining_a_closed_bus_speaks_of_no_event(url: str) -> None:
    bus = open_bus(url)
    bus.close()
    with pytest.raises(BusClosedError, match="closed; nothing is handled any more"):
        bus.drain(1)
