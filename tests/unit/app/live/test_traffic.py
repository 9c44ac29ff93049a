"""Counting what is recorded: totals are the log's, rates are of the last seconds."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from sqlalchemy import delete

from app.live.traffic import REST, STEP_S, STEPS, Traffic, by_family
from eventbus import EventBus
from eventbus.log.known_types import MOST_KNOWN
from eventbus.log.schema import events


class Clock:
    """Unix time by hand."""

    def __init__(self) -> None:
        self.now = 1_700_000_000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def bus(tmp_path: object) -> Iterator[EventBus]:
    with EventBus.open(f"sqlite:///{tmp_path}/events.db") as bus:
        yield bus


@pytest.fixture
def clock() -> Clock:
    return Clock()


def publish(bus: EventBus, type: str, count: int = 1) -> None:
    bus.publish_many([{"type": type, "data": {}}] * count).wait(5)


def counts(traffic: Traffic) -> dict[str, int]:
    return {seen.type: seen.count for seen in traffic.types()}


def test_what_was_there_before_and_what_came_since_are_counted_once(
    bus: EventBus, clock: Clock
) -> None:
    publish(bus, "queue.task.added", 3)
    traffic = Traffic(bus.log, clock)
    traffic.open()
    publish(bus, "queue.task.added", 2)
    publish(bus, "vendor.tick")
    traffic.recount()
    publish(bus, "vendor.tick")
    traffic.recount()
    assert counts(traffic) == {"queue.task.added": 5, "vendor.tick": 2}


def test_what_retention_removed_is_not_counted_any_more(bus: EventBus, clock: Clock) -> None:
    publish(bus, "vendor.tick", 5)
    traffic = Traffic(bus.log, clock)
    traffic.open()
    traffic.recount()
    bus.log.between_commits(lambda conn: conn.execute(delete(events).where(events.c.sequence < 3)))
    bus.log.removed([1, 2], 2)
    traffic.recount()
    publish(bus, "vendor.tick")
    assert counts(traffic) == {"vendor.tick": 4}


def test_a_rate_is_the_mean_of_the_last_seconds_and_fades_to_nothing(
    bus: EventBus, clock: Clock
) -> None:
    traffic = Traffic(bus.log, clock)
    traffic.open()
    for _ in range(9):
        publish(bus, "vendor.tick", 4)
        clock.now += 1
    assert [seen.rate for seen in traffic.types()] == [4.0]
    clock.now += 20
    assert [(seen.count, seen.rate) for seen in traffic.types()] == [(36, 0.0)]


def test_steps_are_whole_and_bounded(bus: EventBus, clock: Clock) -> None:
    traffic = Traffic(bus.log, clock)
    traffic.open()
    for _ in range(STEPS + 10):
        publish(bus, "a.b")
        assert int(clock.now) // STEP_S not in traffic.steps()
        clock.now += STEP_S
    steps = traffic.steps()
    assert len(steps) == STEPS
    assert all(step == {"a.b": 1} for step in steps.values())


def test_types_without_end_are_counted_together(bus: EventBus, clock: Clock) -> None:
    traffic = Traffic(bus.log, clock)
    traffic.open()
    made_up = [{"type": f"made.up-{n}", "data": {}} for n in range(MOST_KNOWN + 50)]
    bus.publish_many(made_up).wait(5)
    found = counts(traffic)
    assert len(found) == MOST_KNOWN + 1
    assert found[REST] == 50


def test_a_clock_that_is_set_back_loses_no_count(bus: EventBus, clock: Clock) -> None:
    traffic = Traffic(bus.log, clock)
    traffic.open()
    publish(bus, "a.b", 2)
    clock.now -= 3_600
    publish(bus, "a.b", 3)
    assert counts(traffic) == {"a.b": 5}


def test_families_are_rolled_up() -> None:
    assert by_family({"a.b": 1, "a.c.d": 2, "x": 3}) == {"a": 3, "x": 3}
