"""What handlers schedule and cancel is an effect of their delivery: once or not at all."""

from __future__ import annotations

from collections.abc import Iterator
from contextvars import copy_context
from typing import Any

import pytest

from eventbus import Event, EventBus
from eventbus.errors import EffectError
from eventbus.log.unit import Unit
from eventbus.testing import FakeClock
from tests.helpers.bus import LONG_S, recorded


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def bus(url: str, clock: FakeClock) -> Iterator[EventBus]:
    with EventBus.open(url, clock=clock) as bus:
        clock.attach(bus)
        yield bus


def test_what_a_handler_schedules_is_made_once_when_it_succeeds_and_never_when_it_fails(
    bus: EventBus, clock: FakeClock
) -> None:
    calls = 0

    @bus.on("start", name="starter")
    async def start(event: Event) -> None:
        nonlocal calls
        calls += 1
        now = await bus.publish("now")
        later = await bus.publish("later", {"call": calls}, delay=60)
        assert later.id != now.id and later.causationid == event.id
        if calls < 3:
            raise RuntimeError("not yet")

    first = bus.publish("start").wait()
    clock.advance(1.25)
    assert (calls, bus.log.schedules.count()) == (2, 0)
    clock.advance(2.5)
    assert (calls, bus.log.schedules.count()) == (3, 1)
    clock.advance(60)
    assert recorded(bus) == ["start", "now", "later"]
    later = bus.log.read(0).events[-1]
    assert (later["call"], later.correlationid, later.source) == (3, first.id, "/handlers/starter")
    assert later.depth == 1


def test_the_ids_of_what_a_handler_schedules_are_the_same_each_time_and_differ_from_the_others(
    bus: EventBus, clock: FakeClock
) -> None:
    ids: list[list[str]] = []

    @bus.on("start", name="starter")
    def start(event: Event) -> None:
        made = [bus.publish("x", delay=delay).event.id for delay in (0, 5, 0, 6)]
        made += [
            event.id
            for event in bus.publish_many([{"type": "x", "delay": 7}, {"type": "x"}]).events
        ]
        ids.append(made)
        if len(ids) == 1:
            raise RuntimeError("again")

    bus.publish("start")
    clock.advance(60)
    assert ids[0] == ids[1] and len(set(ids[0])) == 6
    assert {event.id for event in bus.log.read(1).events} == set(ids[0])


def test_a_handler_may_cancel_what_another_has_scheduled(bus: EventBus, clock: FakeClock) -> None:
    answers: list[bool] = []
    bus.subscribe("order.*", lambda event: None, name="nothing")

    @bus.on("order.placed", name="deadline")
    async def placed(event: Event) -> None:
        await bus.publish(
            "order.expired", {"order": event["order"]}, id=f"expiry-{event['order']}", delay=60
        )

    @bus.on("order.paid", name="payment")
    async def paid(event: Event) -> None:
        answers.append(await bus.cancel(f"expiry-{event['order']}"))

    for order in (1, 2):
        bus.publish("order.placed", {"order": order})
    clock.advance(30)
    bus.publish("order.paid", {"order": 1})
    clock.advance(60)
    bus.publish("order.paid", {"order": 2})
    clock.advance(0)
    expired = [event["order"] for event in bus.log.read(0).events if event.type == "order.expired"]
    assert (expired, answers) == ([2], [True, False])
    (cancelled,) = [e for e in bus.log.read(0).events if e.type == "bus.schedule.cancelled"]
    assert cancelled.source == "/handlers/payment"


def test_a_handler_that_cancels_the_same_twice_has_done_it_once(
    bus: EventBus, clock: FakeClock
) -> None:
    bus.publish("order.expired", {}, id="twice", delay=60)

    async def paid(event: Event) -> None:
        assert await bus.cancel("twice")
        assert not await bus.cancel("twice")

    bus.subscribe("order.paid", paid, name="paid")
    receipt = bus.publish("order.paid", {})
    (delivery,) = receipt.deliveries(LONG_S)
    assert (delivery.state, delivery.attempt) == ("succeeded", 1)
    assert bus.log.schedules.find("twice") == []


def test_a_cancellation_by_a_handler_that_fails_does_not_happen(
    bus: EventBus, clock: FakeClock
) -> None:
    bus.publish("later", id="x", delay=60)

    @bus.on("start", name="canceller", max_attempts=1)
    def start(event: Event) -> None:
        assert bus.cancel("x")
        raise RuntimeError("no")

    bus.publish("start")
    clock.advance(60)
    assert recorded(bus) == ["start", "later"]


def test_a_handler_that_cancels_what_comes_due_at_that_moment_is_tried_again_and_sees_it(
    bus: EventBus, clock: FakeClock
) -> None:
    bus.publish("later", id="x", delay=60)
    answers: list[bool] = []

    @bus.on("start", name="canceller")
    def start(event: Event) -> None:
        answers.append(bool(bus.cancel("x")))
        if len(answers) == 1:  # meanwhile somebody else was faster
            bus.log.commit(
                Unit(call=lambda conn: bus.log.schedules.drop(conn, [("/eventbus", "x")]))
            )

    bus.publish("start")
    clock.advance(5)
    assert answers == [True, False]
    assert recorded(bus) == ["start"]


def test_a_handler_that_cancels_what_it_has_just_scheduled_has_done_nothing(
    bus: EventBus, clock: FakeClock
) -> None:
    @bus.on("start", name="undecided")
    def start(event: Event) -> None:
        receipt = bus.publish("later", delay=60)
        assert bus.cancel(receipt.event.id)

    bus.publish("start")
    clock.advance(120)
    assert recorded(bus) == ["start"]


def test_after_its_attempt_a_handler_schedules_and_cancels_nothing(bus: EventBus) -> None:
    kept: list[Any] = []

    @bus.on("start", name="late")
    def start(event: Event) -> None:
        kept.append(copy_context())

    bus.publish("start")
    assert bus.drain(LONG_S)
    for ask in (lambda: bus.publish("x", delay=5), lambda: bus.cancel("x")):
        with pytest.raises(EffectError, match="is over"):
            kept[0].run(ask)


def test_a_chain_of_scheduled_events_that_never_ends_is_stopped_as_any_other(
    bus: EventBus, clock: FakeClock
) -> None:
    @bus.on("tick", name="ticker")
    async def tick(event: Event) -> None:
        await bus.publish("tick", delay=1)

    bus.publish("tick")
    clock.advance(100)
    assert recorded(bus) == ["tick"] * 33
    assert bus.log.delivery_counts()["dead"] == 1
