"""A success that the disk refused: written with the next commit, never after a later one."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from sqlalchemy import Connection

from eventbus import Event, EventBus
from eventbus.log.unit import Unit
from tests.helpers.bus import LONG_S, open_bus
from tests.helpers.disks import allow_writing, forbid_writing
from tests.helpers.waiting import wait_until


def parts(bus: EventBus) -> list[str]:
    return [trouble.part for trouble in bus.troubles()]


class Gated:
    """An async handler that waits at each event until it is let go, then may publish."""

    def __init__(self, bus: EventBus) -> None:
        self._bus = bus
        self.entered: list[str] = []
        self._gates: dict[str, asyncio.Event] = {}

    async def __call__(self, event: Event) -> None:
        gate = self._gates[event.id] = asyncio.Event()
        self._loop = asyncio.get_running_loop()
        self.entered.append(event.id)
        await gate.wait()
        if event.get("publishes"):
            self._bus.publish("further", {"of": event.id})

    def let_go(self, id: str) -> None:
        wait_until(lambda: id in self.entered, f"{id} is being handled")
        self._loop.call_soon_threadsafe(self._gates[id].set)


def states(bus: EventBus, count: int) -> list[str]:
    return [bus.log.deliveries(sequence)[0].state for sequence in range(1, count + 1)]


@pytest.mark.parametrize("first_breaks_the_batch", [False, True])
def test_a_later_event_of_a_key_is_not_recorded_as_done_before_an_earlier_one(
    bus: EventBus, first_breaks_the_batch: bool
) -> None:
    handler = Gated(bus)
    bus.subscribe("a", handler, name="mine")
    bus.publish("a", {}, id="one", subject="same")
    bus.publish("a", {"publishes": True}, id="two", subject="same")
    forbid_writing(bus)
    handler.let_go("one")
    wait_until(lambda: parts(bus) == ["storage"], "the first success could not be written")
    seen: list[list[str]] = []
    bus.log.add_listener(lambda events: seen.append(states(bus, 2)) if events else None)
    allow_writing(bus)
    if first_breaks_the_batch:  # written by halves, each with what is owed
        broken = Unit(effects=[(_break, None)])
        bus.log.submit(broken)
    handler.let_go("two")
    wait_until(lambda: states(bus, 2) == ["succeeded"] * 2, "both are done")
    wait_until(lambda: len(seen) == 1, "the further event is heard of")
    assert seen == [["succeeded", "succeeded"]]


def _break(conn: Connection, params: list[Any]) -> None:
    raise ValueError("a state change that breaks")


def test_a_success_that_could_not_be_written_is_written_though_nothing_else_is(
    bus: EventBus,
) -> None:
    handler = Gated(bus)
    bus.subscribe("a", handler, name="mine")
    bus.publish("a", {}, id="one")
    forbid_writing(bus)
    handler.let_go("one")
    wait_until(lambda: parts(bus) == ["storage"], "the success could not be written")
    assert states(bus, 1) == ["pending"]
    allow_writing(bus)
    wait_until(lambda: states(bus, 1) == ["succeeded"], "it is written later")
    assert handler.entered == ["one"]
    assert bus.drain(LONG_S)
    assert bus.dispatcher.lanes()["mine"].is_idle


def test_a_success_that_could_not_be_written_is_written_when_the_bus_closes(url: str) -> None:
    with open_bus(url) as bus:
        handler = Gated(bus)
        bus.subscribe("a", handler, name="mine")
        bus.publish("a", {}, id="one")
        forbid_writing(bus)
        handler.let_go("one")
        wait_until(lambda: parts(bus) == ["storage"], "the success could not be written")
        allow_writing(bus)
    with open_bus(url) as bus:
        assert states(bus, 1) == ["succeeded"]
