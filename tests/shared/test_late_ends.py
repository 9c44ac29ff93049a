"""Attempts that end after another process has counted them as cut off, or as ended."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import text

from eventbus import Event, EventBus, RetryPolicy
from eventbus.log import Delivery, EventLog
from eventbus.log.cut_off import _fail
from eventbus.log.flights import Flight
from eventbus.log.unit import Outcome, Unit
from tests.helpers.waiting import wait_until

LONG_S = 60.0
RETRY = RetryPolicy(max_attempts=5, base_delay_s=0.05, max_delay_s=0.1)


@pytest.fixture
def bus(shared_url: str, tmp_path: Path) -> Iterator[EventBus]:
    bus = EventBus(EventLog(shared_url, tmp_path), retry=RETRY)
    bus.log.between_commits(lambda conn: conn.execute(text("CREATE TABLE done (sequence BIGINT)")))
    yield bus
    bus.close()


class Worker:
    """A handler that holds the first attempt of each event that says so until it is let go."""

    def __init__(self, bus: EventBus) -> None:
        self._bus = bus
        self.runs: list[int] = []
        self.held: asyncio.Event = asyncio.Event()
        bus.subscribe("work.*", self.handle, name="worker")

    async def handle(self, event: Event) -> None:
        sequence = event.sequence or 0
        is_first = sequence not in self.runs
        self.runs.append(sequence)
        if is_first and "held" in event:
            await self.held.wait()
        if is_first and event.get("fails"):
            raise ValueError("as it was told to")
        if event.get("changes"):
            self._bus.effect(note, sequence)

    def let_go(self) -> None:
        self._bus.dispatcher.loop.call_soon_threadsafe(self.held.set)


def note(conn: Any, sequences: list[int]) -> None:
    conn.execute(text("INSERT INTO done VALUES (:s)"), [{"s": each} for each in sequences])


def count_as_cut_off(bus: EventBus, sequence: int) -> None:
    """As another process does that takes this one for dead."""
    (id,) = (known.id for known in bus.log.subscribers())
    flight = Flight(id, sequence, 0, bus.log.clock.time_ns() // 1_000)
    bus.log.commit(Unit(call=lambda conn: _fail(conn, [flight], 1, RETRY, flight.started_us)))


def count_as_failed(bus: EventBus, sequence: int) -> None:
    """As a process does that has lost the lease and does not know it yet."""
    (id,) = (known.id for known in bus.log.subscribers())
    now_us = bus.log.clock.time_ns() // 1_000
    bus.log.commit(Unit(outcome=Outcome(sequence, id, "retrying", 1, now_us, now_us, now_us)))


def delivery(bus: EventBus, sequence: int) -> Delivery:
    (found,) = bus.log.deliveries(sequence)
    return found


def ends(found: Delivery) -> list[tuple[int, str]]:
    return [(attempt.number, attempt.outcome) for attempt in found.attempts]


def done(bus: EventBus) -> list[int]:
    with bus.log.reading() as conn:
        return list(conn.execute(text("SELECT sequence FROM done")).scalars())


@pytest.mark.parametrize("count", [count_as_cut_off, count_as_failed])
@pytest.mark.parametrize("changes", [True, False], ids=["with effects", "without"])
def test_a_success_is_numbered_after_the_attempts_that_were_counted_meanwhile(
    bus: EventBus, changes: bool, count: Callable[[EventBus, int], None]
) -> None:
    worker = Worker(bus)
    sequence = bus.publish("work.todo", {"held": 1, "changes": changes}).event.sequence or 0
    wait_until(lambda: worker.runs == [sequence], "its handler runs", LONG_S)
    count(bus, sequence)
    worker.let_go()
    wait_until(lambda: delivery(bus, sequence).state == "succeeded", "it has succeeded", LONG_S)
    found = delivery(bus, sequence)
    other = "crashed" if count is count_as_cut_off else "failed"
    assert ends(found) == [(1, other), (2, "succeeded")]
    assert found.attempt == 2
    assert done(bus) == ([sequence] if changes else [])


@pytest.mark.parametrize("count", [count_as_cut_off, count_as_failed])
def test_a_failure_of_an_attempt_that_was_counted_is_not_counted_again_and_the_next_is_made(
    bus: EventBus, count: Callable[[EventBus, int], None]
) -> None:
    worker = Worker(bus)
    data = {"held": 1, "fails": True, "changes": True}
    first = bus.publish("work.todo", data, subject="s").event.sequence or 0
    second = bus.publish("work.todo", {"changes": True}, subject="s").event.sequence or 0
    wait_until(lambda: worker.runs == [first], "its handler runs", LONG_S)
    count(bus, first)
    worker.let_go()
    wait_until(lambda: delivery(bus, second).state == "succeeded", "both are over", LONG_S)
    found = delivery(bus, first)
    other = "crashed" if count is count_as_cut_off else "failed"
    assert ends(found) == [(1, other), (2, "succeeded")]
    assert worker.runs == [first, first, second], "in the order of their subject"
    assert done(bus) == [first, second]


def test_what_fails_here_and_has_succeeded_elsewhere_is_over(bus: EventBus) -> None:
    worker = Worker(bus)
    data = {"held": 1, "fails": True}
    first = bus.publish("work.todo", data, subject="s").event.sequence or 0
    second = bus.publish("work.todo", subject="s").event.sequence or 0
    wait_until(lambda: worker.runs == [first], "its handler runs", LONG_S)
    succeed = "UPDATE deliveries SET state = 'succeeded', attempt = 1, finished_us = 1, "
    succeed += f"duration_us = 0 WHERE sequence = {first}"
    bus.log.between_commits(lambda conn: conn.execute(text(succeed)))
    worker.let_go()
    wait_until(lambda: delivery(bus, second).state == "succeeded", "the next is handled", LONG_S)
    assert worker.runs == [first, second]
    assert ends(delivery(bus, first)) == [(1, "succeeded")]
