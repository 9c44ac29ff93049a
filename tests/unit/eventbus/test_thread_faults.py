"""Threads that cannot start, are blocked or meet what nobody expects: said, and gone on."""

from __future__ import annotations

import asyncio
import logging
import threading
from typing import Any

import pytest

from eventbus import Event, EventBus
from eventbus.errors import NoThreadError
from eventbus.lane import Lane
from tests.helpers.bus import LONG_S, Recorder, open_bus
from tests.helpers.waiting import wait_until


def refuse_threads(monkeypatch: pytest.MonkeyPatch, prefix: str) -> None:
    start = threading.Thread.start

    def refuse(thread: threading.Thread) -> None:
        if thread.name.startswith(prefix):
            raise RuntimeError("can't start new thread")
        start(thread)

    monkeypatch.setattr(threading.Thread, "start", refuse)


@pytest.mark.parametrize("name", ["eventbus-loop", "eventbus-writer", "eventbus-watchdog"])
def test_a_bus_without_one_of_its_threads_is_not_opened_and_leaves_nothing(
    url: str, name: str
) -> None:
    before = set(threading.enumerate())
    with pytest.MonkeyPatch.context() as patch:
        refuse_threads(patch, name)
        with pytest.raises(NoThreadError, match=rf"{name}.*ulimit -u"):
            open_bus(url)
    wait_until(lambda: set(threading.enumerate()) <= before, "its other threads end")
    with open_bus(url) as bus:  # the lock is free
        assert bus.publish("a").event.sequence == 1


@pytest.mark.parametrize("kind", ["async", "inline"])
def test_a_handler_that_blocks_the_loop_is_named_with_its_stack(
    bus: EventBus, kind: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("eventbus.watchdog.BLOCKED_S", 0.2)
    entered, go_on = threading.Event(), threading.Event()

    def hold_up(_event: Event) -> None:
        entered.set()
        assert go_on.wait(LONG_S)

    async def hold_up_async(event: Event) -> None:
        hold_up(event)

    told_at_its_end: list[list[str]] = []

    def look(record: logging.LogRecord) -> bool:
        if f"goes on; the {kind} handler slow" in record.getMessage():
            told_at_its_end.append([trouble.part for trouble in bus.troubles()])
        return True

    monkeypatch.setattr(logging.getLogger("eventbus.watchdog"), "filters", [look])
    handler: Any = hold_up_async if kind == "async" else hold_up
    bus.subscribe("a", handler, name="slow", inline=kind == "inline")
    bus.subscribe("b", recorder := Recorder(), name="other")
    with caplog.at_level(logging.WARNING, "eventbus.watchdog"):
        bus.publish("a")
        assert entered.wait(LONG_S)
        assert bus.publish("b").event.sequence == 2  # publishing does not need the loop
        trouble = wait_until(
            lambda: next((each for each in bus.troubles() if "slow" in each.detail), None),
            "the watchdog sees it",
        )
        assert trouble.part == "loop"
        assert f"the {kind} handler slow (event 1, a) has blocked the bus's loop" in trouble.detail
        go_on.set()
        recorder.wait_for(1)
        wait_until(lambda: not bus.troubles(), "it is over")
    text = caplog.text
    assert "in hold_up\n" in text
    assert told_at_its_end == [["loop"]], "who sees that it is over finds it said and counted"
    blocked = {s.name: s.blocked_loop for s in bus.subscriptions()}
    assert blocked == {"slow": 1, "other": 0}


def test_a_sync_handler_that_blocks_holds_up_nobody(bus: EventBus) -> None:
    go_on = threading.Event()
    bus.subscribe("a", lambda event: go_on.wait(LONG_S), name="slow")
    bus.subscribe("a", recorder := Recorder(), name="other")
    bus.publish("a")
    recorder.wait_for(1)
    wait_until(lambda: not bus.troubles(), "nothing is wrong")
    go_on.set()


def test_a_dead_thread_is_told(bus: EventBus, monkeypatch: pytest.MonkeyPatch) -> None:
    # Nothing that a handler or a disk does ends one; so here their looks are changed.
    monkeypatch.setattr(type(bus.log), "is_writer_alive", property(lambda log: False))
    monkeypatch.setattr(type(bus._loop_thread), "is_alive", property(lambda thread: False))
    assert [trouble.part for trouble in bus.troubles()] == ["writer", "loop"]
    monkeypatch.undo()


def test_the_loop_goes_on_after_what_breaks_out_of_it(bus: EventBus) -> None:
    def no_memory() -> None:
        raise MemoryError

    def leave() -> None:
        raise SystemExit(1)

    for breaks in (no_memory, leave):
        bus._loop.call_soon_threadsafe(breaks)
    bus.subscribe("a", recorder := Recorder(), name="mine")
    bus.publish("a")
    recorder.wait_for(1)


def test_a_hand_over_without_memory_loses_no_delivery(
    bus: EventBus, monkeypatch: pytest.MonkeyPatch
) -> None:
    bus.subscribe("a", recorder := Recorder(), name="mine")
    offer, fails = Lane.offer, [True, True]

    def short_of_memory(lane: Lane, event: Event) -> None:
        if event.sequence in (2, 4) and fails:
            fails.pop()
            raise MemoryError
        offer(lane, event)

    monkeypatch.setattr(Lane, "offer", short_of_memory)
    for _ in range(6):
        bus.publish("a")
    assert [event.sequence for event in recorder.wait_for(6)] == [1, 2, 3, 4, 5, 6]
    assert not fails


def test_an_error_of_the_dispatchers_own_is_told_until_a_restart(
    bus: EventBus, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: object) -> None:
        raise MemoryError("none left")

    bus.subscribe("a", Recorder(), name="mine")
    monkeypatch.setattr(bus.dispatcher, "_settle_successes", broken)
    bus.publish("a")
    (trouble,) = wait_until(bus.troubles, "it is told")
    assert trouble.part == "dispatcher"
    assert "MemoryError: none left" in trouble.detail


def test_an_error_of_a_handlers_own_callback_is_no_trouble_of_the_bus(bus: EventBus) -> None:
    called = threading.Event()

    def fails_later() -> None:
        called.set()
        raise ValueError("mine")

    async def handle(_event: Event) -> None:
        asyncio.get_running_loop().call_soon(fails_later)

    bus.subscribe("a", handle, name="mine")
    bus.publish("a").deliveries(LONG_S)
    assert called.wait(LONG_S)
    assert bus.drain(LONG_S)
    wait_until(lambda: not bus.troubles(), "nothing is wrong")  # what is would stay
