"""Effects: committed with the delivery, exactly once; none of them when the handler raises."""

from __future__ import annotations

import asyncio
import threading
import uuid
from collections.abc import Callable
from typing import Any

import pytest
from sqlalchemy import Connection, text

from eventbus import Event, EventBus
from eventbus.errors import EffectError
from eventbus.ids import derived_id
from tests.helpers.bus import LONG_S, Recorder
from tests.helpers.waiting import wait_until


def create_counters(conn: Connection) -> None:
    conn.execute(text("CREATE TABLE counters (name TEXT PRIMARY KEY, value INTEGER NOT NULL)"))


def count(conn: Connection, names: list[str]) -> None:
    """An effect: one more of each name."""
    for name in names:
        conn.execute(
            text(
                "INSERT INTO counters VALUES (:name, 1) "
                "ON CONFLICT (name) DO UPDATE SET value = counters.value + 1"
            ),
            {"name": name},
        )


def breaks(conn: Connection, params: list[Any]) -> None:
    """An effect that cannot be applied."""
    conn.execute(text("INSERT INTO no_such_table VALUES (1)"))


def counters(bus: EventBus) -> dict[str, int]:
    with bus.log.reading() as conn:
        return {row.name: row.value for row in conn.execute(text("SELECT * FROM counters"))}


@pytest.fixture
def counting(bus: EventBus) -> EventBus:
    """A bus with a table for effects to change."""
    bus.log.migrate("counters", [create_counters])
    return bus


def types(bus: EventBus) -> list[str]:
    return [event.type for event in bus.log.read(0).events]


def test_effects_are_committed_with_the_delivery(counting: EventBus) -> None:
    bus = counting

    def handle(event: Event) -> None:
        bus.effect(count, "handled")
        receipt = bus.publish("further", {"of": event.id})
        assert receipt.wait(0).type == "further"
        assert bus.log.last_sequence == 1  # not before the handler has returned
        assert counters(bus) == {}
        bus.effect(count, "handled")

    bus.subscribe("first", handle, name="mine")
    bus.publish("first", id="1")
    assert bus.drain(LONG_S)
    assert counters(bus) == {"handled": 2}
    further = bus.log.get_by_sequence(2)
    assert further is not None
    assert further.data == {"of": "1"}


@pytest.mark.parametrize("kind", ["sync", "async", "inline"])
def test_nothing_of_a_handler_that_raises_happens(counting: EventBus, kind: str) -> None:
    bus = counting
    calls: list[int] = []

    before: list[object] = []

    def ask() -> None:
        calls.append(1)
        before.append((types(bus), counters(bus)))
        bus.effect(count, "handled")
        bus.publish("further")
        bus.publish_many([{"type": "further"}, {"type": "further"}])
        if len(calls) < 3:
            raise RuntimeError("after asking")

    async def ask_later(event: Event) -> None:
        ask()

    handler: Callable[[Event], Any] = ask_later if kind == "async" else lambda event: ask()
    bus.subscribe("first", handler, name="mine", inline=kind == "inline")
    delivery = bus.publish("first").deliveries(LONG_S, until="attempted")[0]
    assert delivery.state == "retrying"
    wait_for_end(bus, 1)
    assert before == [(["first"], {})] * 3
    assert types(bus) == ["first", "further", "further", "further"]
    assert len({event.source for event in bus.log.read(1).events}) == 1, "whichever way it was"
    assert counters(bus) == {"handled": 1}
    assert len(calls) == 3


def wait_for_end(bus: EventBus, sequence: int) -> None:
    with bus.watch(sequence) as changed:
        while bus.log.deliveries(sequence)[0].state not in ("succeeded", "dead"):
            assert changed.wait(LONG_S)
            changed.clear()


def test_an_effect_that_cannot_be_applied_fails_its_own_delivery_alone(
    counting: EventBus,
) -> None:
    bus = counting

    def bad(event: Event) -> None:
        bus.publish("from bad".replace(" ", "."))
        bus.effect(breaks, None)

    bus.subscribe("a", bad, name="bad", max_attempts=2)
    bus.subscribe("a", lambda event: bus.effect(count, "good"), name="good")
    for number in range(5):
        bus.publish("a", subject=f"s{number}")
    for sequence in range(1, 6):
        wait_for_end(bus, sequence)
    assert bus.drain(LONG_S)
    assert counters(bus) == {"good": 5}
    assert types(bus) == ["a"] * 5
    for sequence in range(1, 6):
        failed, good = bus.log.deliveries(sequence)
        assert (failed.state, good.state) == ("dead", "succeeded")
        assert failed.error_class in ("OperationalError", "ProgrammingError")
        assert "no_such_table" in (failed.error_message or "")


def test_effects_of_many_deliveries_add_up(counting: EventBus) -> None:
    bus = counting
    bus.subscribe("a", lambda event: bus.effect(count, event.subject), name="mine")
    bus.publish_many([{"type": "a", "subject": f"s{number % 3}"} for number in range(300)])
    assert bus.drain(LONG_S)
    assert counters(bus) == {"s0": 100, "s1": 100, "s2": 100}


def test_a_handler_sees_what_earlier_events_of_its_subject_changed(counting: EventBus) -> None:
    bus = counting
    before: list[int] = []

    def handle(event: Event) -> None:
        before.append(counters(bus).get("n", 0))
        bus.effect(count, "n")

    bus.subscribe("a", handle, name="mine")
    bus.publish_many([{"type": "a", "subject": "same"} for _ in range(20)])
    assert bus.drain(LONG_S)
    assert before == list(range(20))


# -- further events -----------------------------------------------------------------------------


def test_a_further_event_knows_its_cause(bus: EventBus) -> None:
    trace = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"

    async def handle(event: Event) -> None:
        await bus.publish("second", {"eval_id": "e"})
        await bus.publish_many([{"type": "third", "id": "mine"}])
        await bus.publish_event(Event.create("fourth", causationid="own", correlationid="own"))

    bus.subscribe("first", handle, name="mine")
    cause = bus.publish("first", correlationid="c", traceparent=trace).event
    assert bus.drain(LONG_S)
    _, second, third, fourth = bus.log.read(0).events
    for event in (second, third):
        assert (event.causationid, event.correlationid) == (cause.id, "c")
    for event in (second, third, fourth):
        assert (event.traceparent, event.depth) == (trace, 1)
    assert second.source == "/handlers/mine"
    assert second.subject == "e"
    assert third.id == "mine"
    assert (fourth.causationid, fourth.correlationid) == ("own", "own")


def test_a_further_event_inherits_the_whole_trace_or_nothing_of_it(bus: EventBus) -> None:
    trace, own = (f"00-{digit * 32}-{digit * 16}-01" for digit in "ab")
    state, full = {"tracestate": "v=1"}, {f"x{number}": number for number in range(32)}

    async def handle(event: Event) -> None:
        await bus.publish("further", {"n": 0}, extensions={"shard": 3})
        await bus.publish("further", {"n": 1}, traceparent=own)
        await bus.publish("further", {"n": 2}, extensions={"tracestate": "mine=1"})
        await bus.publish_event(Event.create("further", {"n": 3}))
        await bus.publish_event(Event.create("further", {"n": 4}, traceparent=own))
        await bus.publish("further", {"n": 5}, extensions=full)
        await bus.publish("further", {"n": 6}, delay=0.01)

    bus.subscribe("first", handle, name="mine")
    bus.publish("first", traceparent=trace, extensions={**state, "partitionkey": "p"})
    assert bus.drain(LONG_S)
    wait_until(lambda: bus.log.last_sequence == 8, "the last one is due")
    found = [(event.traceparent, event.extensions) for event in bus.log.read(1).events]
    assert found == [
        (trace, {"shard": 3, **state}), (own, {}), (trace, {"tracestate": "mine=1"}),
        (trace, state), (own, {}), (trace, full), (trace, state),
    ]  # fmt: skip


def test_a_tracestate_without_a_trace_is_not_handed_on(bus: EventBus) -> None:
    bus.subscribe("first", lambda event: bus.publish("second"), name="mine")
    bus.publish("first", extensions={"tracestate": "v=1"})
    assert bus.drain(LONG_S)
    assert bus.log.read(1).events[0].extensions == {}


def test_ids_of_further_events_are_derived_and_the_same_after_a_redelivery(
    bus: EventBus,
) -> None:
    tried: list[list[str]] = []

    def handle(event: Event) -> None:
        receipts = [bus.publish("b"), bus.publish_event(Event.create("c"))]
        tried.append([receipt.event.id for receipt in receipts])
        tried[-1].append(bus.publish_many([{"type": "d"}]).events[0].id)
        if len(tried) < 3:
            raise RuntimeError("once more")

    bus.subscribe("a", handle, name="mine")
    cause = bus.publish("a").event
    wait_for_end(bus, 1)
    expected = [derived_id(cause.source, cause.id, "mine", index) for index in range(3)]
    assert tried == [expected] * 3
    assert [event.id for event in bus.log.read(1).events] == expected
    assert {uuid.UUID(id).version for id in expected} == {8}


def test_a_chain_of_events_goes_from_handler_to_handler(bus: EventBus) -> None:
    last = Recorder()
    for number in range(5):
        bus.subscribe(
            f"step.{number}",
            lambda event, n=number: bus.publish(f"step.{n + 1}", {"eval_id": "e"}),
            name=f"step-{number}",
        )
    bus.subscribe("step.5", last, name="last")
    first = bus.publish("step.0", {"eval_id": "e"}).event
    assert bus.drain(LONG_S)
    assert last.events[0].depth == 5
    assert last.events[0].correlationid == first.id
    trace = bus.log.trace(last.events[0].id)
    assert trace is not None
    assert [event.type for event in trace.events] == [f"step.{n}" for n in range(6)]


@pytest.mark.parametrize("kind", ["publish", "publish_event", "publish_many"])
def test_a_loop_of_events_stops_as_a_dead_letter(bus: EventBus, kind: str) -> None:
    def handle(event: Event) -> None:
        if kind == "publish":
            bus.publish("ping")
        elif kind == "publish_event":
            bus.publish_event(Event.create("ping"))
        else:
            bus.publish_many([{"type": "ping"}])

    bus.subscribe("ping", handle, name="mine")
    bus.publish("ping")
    assert bus.drain(LONG_S)
    assert bus.log.last_sequence == 33  # the first and 32 causations
    (dead,) = bus.log.list_deliveries("dead").deliveries
    assert (dead.sequence, dead.attempt, dead.error_class) == (33, 1, "EventLoopError")
    assert "event loop" in (dead.error_message or "")
    assert [e.depth for e in bus.log.read(0).events] == list(range(33))


def test_a_handler_that_swallows_the_end_of_a_loop_does_not_go_on(bus: EventBus) -> None:
    def handle(event: Event) -> None:
        try:
            bus.publish("ping")
        except Exception:
            return

    bus.subscribe("ping", handle, name="mine")
    bus.publish("ping")
    assert bus.drain(LONG_S)
    assert bus.log.last_sequence == 33
    assert bus.log.delivery_counts()["dead"] == 1


def test_a_bad_further_event_fails_the_attempt(bus: EventBus) -> None:
    bus.subscribe("a", lambda event: bus.publish("b.*"), name="mine", max_attempts=1)
    (delivery,) = bus.publish("a").deliveries(LONG_S)
    assert (delivery.state, delivery.error_class) == ("dead", "EventValidationError")


def test_an_ephemeral_handler_may_publish_and_change_state(counting: EventBus) -> None:
    bus = counting

    def ask(event: Event) -> None:
        bus.publish("b", {"n": event["n"]})
        bus.effect(count, "n")

    bus.subscribe("a", lambda event: ask(event))
    bus.publish_many([{"type": "a", "data": {"n": n}, "subject": "s"} for n in range(3)])
    assert bus.drain(LONG_S)
    assert types(bus) == ["a", "a", "a", "b", "b", "b"]
    assert [e["n"] for e in bus.log.read(3).events] == [0, 1, 2]
    assert counters(bus) == {"n": 3}


# -- what is asked for too late -----------------------------------------------------------------


def test_what_an_attempt_asks_for_after_its_time_is_refused(counting: EventBus) -> None:
    bus = counting
    go_on, refused = threading.Event(), threading.Event()

    def late(event: Event) -> None:
        assert go_on.wait(LONG_S)
        try:
            bus.publish("late")
        except EffectError:
            refused.set()
            raise

    bus.subscribe("a", late, name="mine", timeout=0.05, max_attempts=1)
    (delivery,) = bus.publish("a").deliveries(LONG_S)
    assert (delivery.state, delivery.error_class) == ("dead", "HandlerTimeoutError")
    go_on.set()
    assert refused.wait(LONG_S)
    assert types(bus) == ["a"]


def test_a_task_that_outlives_its_handler_cannot_smuggle_effects(bus: EventBus) -> None:
    tasks: list[asyncio.Task[None]] = []
    outcome: list[BaseException] = []
    go_on, done = asyncio.Event(), threading.Event()

    async def background() -> None:
        await go_on.wait()
        try:
            bus.publish("late")
        except EffectError as error:
            outcome.append(error)
        done.set()

    async def handle(event: Event) -> None:
        if event.type == "start":
            tasks.append(asyncio.create_task(background()))
        else:
            go_on.set()

    bus.subscribe("#", handle, name="mine")
    bus.publish("start")
    assert bus.drain(LONG_S)
    bus.publish("go")
    assert done.wait(LONG_S)
    assert "is over" in str(outcome[0])
    assert bus.drain(LONG_S)
    assert types(bus) == ["start", "go"]


def test_effects_asked_for_in_a_thread_of_the_handlers_own_belong_to_it(bus: EventBus) -> None:
    async def handle(event: Event) -> None:
        receipt = await asyncio.to_thread(bus.publish, "further")
        assert receipt.event.causationid == event.id

    bus.subscribe("a", handle, name="mine")
    (delivery,) = bus.publish("a").deliveries(LONG_S)
    assert delivery.state == "succeeded"
    assert types(bus) == ["a", "further"]
