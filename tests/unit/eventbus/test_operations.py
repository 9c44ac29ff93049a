"""Redrive, discard and replay: what comes of deliveries, what is kept, what is told."""

from __future__ import annotations

import logging
import threading
from collections import Counter
from typing import Any

import pytest

from eventbus import Event, EventBus, Pattern
from eventbus.errors import OperationError
from eventbus.log import Delivery, Operation, Replayed, Selection
from eventbus.log.unit import Unit
from tests.helpers.bus import LONG_S, Failing, Recorder, open_bus
from tests.helpers.waiting import wait_until

ALL = Selection()


class Mended:
    """Fails until it is mended, and notes what it has handled since."""

    def __init__(self) -> None:
        self.is_broken = True
        self.handled: list[int] = []

    def __call__(self, event: Event) -> None:
        if self.is_broken:
            raise ValueError("broken")
        self.handled.append(event.sequence or 0)


def dead_count(bus: EventBus) -> int:
    return bus.log.delivery_counts()["dead"]


def finish(bus: EventBus, operation: Operation) -> Operation:
    assert bus.operations.wait(operation.id, LONG_S)
    assert bus.drain(LONG_S)
    ended = bus.operations.get(operation.id)
    assert ended is not None
    return ended


def told(bus: EventBus, type: str = "bus.*") -> list[tuple[str, dict[str, Any]]]:
    return [(e.type, e.data) for e in bus.log.read(0, 1000, Pattern(type)).events]


def only(bus: EventBus, sequence: int) -> Delivery:
    (delivery,) = bus.log.deliveries(sequence)
    return delivery


@pytest.fixture
def mended(bus: EventBus) -> Mended:
    """A handler "mine" of "a.*" with ten dead letters, events 1 to 10, mended since."""
    handler = Mended()
    bus.subscribe("a.*", handler, name="mine")
    for number in range(10):
        bus.publish("a.even" if number % 2 else "a.odd", {"n": number}, subject=f"s{number % 3}")
    wait_until(lambda: dead_count(bus) == 10, "all are dead", LONG_S)
    handler.is_broken = False
    return handler


# -- redrive ------------------------------------------------------------------------------------


def test_dead_letters_are_delivered_again_and_keep_their_history(
    bus: EventBus, mended: Mended
) -> None:
    preview = bus.operations.preview("redrive", ALL)
    assert (preview.total, preview.subscriptions, dead_count(bus)) == (10, {"mine": 10}, 10)
    operation = bus.operations.redrive(ALL, "ann", "the disk is back")
    ended = finish(bus, operation)
    assert (ended.state, ended.total, ended.done, ended.skipped) == ("finished", 10, 10, 0)
    assert ended.outcomes == {"succeeded": 10}
    assert sorted(mended.handled) == list(range(1, 11))
    delivery = only(bus, 4)
    assert (delivery.state, delivery.attempt, delivery.round) == ("succeeded", 1, 2)
    tries = [(a.round, a.number, a.outcome) for a in delivery.attempts]
    assert tries == [(1, n, "failed") for n in (1, 2, 3)] + [(2, 1, "succeeded")]
    (done,) = delivery.interventions
    assert (done.kind, done.operation, done.by) == ("redrive", operation.id, "ann")
    assert (done.reason, done.state_before, done.attempt) == ("the disk is back", "dead", 3)


def test_a_redriven_delivery_has_all_its_attempts_again(bus: EventBus) -> None:
    bus.subscribe("a", Failing(), name="mine")
    bus.publish("a")
    for round in (1, 2, 3):
        wait_until(lambda: dead_count(bus) == 1, "it is dead", LONG_S)
        delivery = only(bus, 1)
        assert (delivery.attempt, delivery.round) == (3, round)
        tries = [(a.round, a.number) for a in delivery.attempts]
        assert tries == [(r, n) for r in range(1, round + 1) for n in (1, 2, 3)]
        if round < 3:
            ended = finish(bus, bus.operations.redrive(ALL, "ann"))
            assert ended.done == 1


@pytest.mark.parametrize(
    ("selection", "expected"),
    [
        (Selection(pattern=Pattern("a.even")), [2, 4, 6, 8, 10]),
        (Selection(error_class="ValueError", subscription="mine"), list(range(1, 11))),
        (Selection(error_class="KeyError"), []),
        (Selection(subscription="other"), []),
        (Selection(deliveries=((7, "mine"), (3, "mine"), (99, "mine"), (3, "other"))), [3, 7]),
    ],
)
def test_only_what_is_selected_is_redriven(
    bus: EventBus, mended: Mended, selection: Selection, expected: list[int]
) -> None:
    ended = finish(bus, bus.operations.redrive(selection, "ann"))
    assert sorted(mended.handled) == expected
    assert (ended.state, ended.done) == ("finished", len(expected))
    assert dead_count(bus) == 10 - len(expected)


def test_what_died_before_the_clock_was_set_back_is_redriven_too(
    bus: EventBus, mended: Mended
) -> None:
    for late in (
        "UPDATE deliveries SET finished_us = finished_us + 3600000000 WHERE sequence < 4",
        "UPDATE dead_letters SET newest_us = newest_us + 3600000000",
    ):
        bus.log.commit(Unit(call=lambda conn, late=late: conn.exec_driver_sql(late)))
    assert finish(bus, bus.operations.redrive(ALL, "ann")).done == 10
    assert dead_count(bus) == 0


def test_what_is_done_to_dead_letters_is_in_the_log(bus: EventBus, mended: Mended) -> None:
    operation = bus.operations.redrive(Selection(pattern=Pattern("a.odd")), "ann", "mended")
    finish(bus, operation)
    common = {
        "operation": operation.id, "by": "ann", "reason": "mended", "total": 5,
        "selection": {"type": "a.odd"},
    }  # fmt: skip
    assert told(bus) == [
        ("bus.redrive.started", common),
        ("bus.redrive.finished", {**common, "done": 5, "skipped": 0}),
    ]
    started, ended = bus.log.read(0, 100, Pattern("bus.*")).events
    assert (ended.causationid, ended.correlationid) == (started.id, started.id)
    assert started.id == operation.event_id


def test_a_redrive_of_what_nobody_serves_waits_in_the_log(url: str) -> None:
    with open_bus(url) as bus:
        bus.subscribe("a", Failing(), name="mine", max_attempts=1)
        bus.publish("a").deliveries(LONG_S)
    with open_bus(url) as bus:
        ended = finish(bus, bus.operations.redrive(ALL, "ann"))
        assert (ended.done, ended.outcomes) == (1, {"pending": 1})
        handler = Recorder()
        bus.subscribe("a", handler, name="mine")
        handler.wait_for(1)
        assert bus.drain(LONG_S)
        assert only(bus, 1).state == "succeeded"


def test_dead_letters_of_a_removed_subscription_are_told_and_left(
    bus: EventBus, mended: Mended
) -> None:
    bus.unsubscribe("mine")
    preview = bus.operations.preview("redrive", ALL)
    assert (preview.total, preview.excluded) == (0, {"mine": 10})
    ended = finish(bus, bus.operations.redrive(ALL, "ann"))
    assert (ended.total, ended.done, ended.skipped, dead_count(bus)) == (0, 0, 0, 10)
    bus.subscribe("a.*", mended, name="mine")
    assert finish(bus, bus.operations.redrive(ALL, "ann")).done == 10
    assert sorted(mended.handled) == list(range(1, 11))


def test_a_redrive_that_is_stopped_leaves_the_rest_dead(bus: EventBus) -> None:
    entered, go_on, is_mended = threading.Event(), threading.Event(), threading.Event()

    def handle(event: Event) -> None:
        if not is_mended.is_set():
            raise ValueError("broken")
        entered.set()
        assert go_on.wait(LONG_S)

    bus.subscribe("a", handle, name="mine", max_attempts=1, concurrency=1)
    bus.publish_many([{"type": "a", "subject": f"s{n}"} for n in range(3_000)])
    wait_until(lambda: dead_count(bus) == 3_000, "all are dead", LONG_S)
    is_mended.set()
    operation = bus.operations.redrive(ALL, "ann")
    assert entered.wait(LONG_S)
    # The handler takes for ever, and so what comes back waits in the log, not in memory.
    stopped = bus.operations.stop(operation.id, "bob")
    assert stopped is not None
    assert (stopped.state, stopped.stopped_by) == ("stopped", "bob")
    assert stopped.done == 3_000 - dead_count(bus) <= 1_000
    go_on.set()
    assert bus.drain(LONG_S)
    after = bus.operations.stop(operation.id, "carl")
    assert after is not None
    assert (after.stopped_by, after.outcomes) == ("bob", {"succeeded": stopped.done})
    assert told(bus)[-1][0] == "bus.redrive.stopped"
    assert bus.operations.stop(99, "carl") is None


def test_an_operation_goes_on_after_a_restart_with_exact_counts(url: str) -> None:
    with open_bus(url) as bus:
        bus.subscribe("a", Failing(), name="mine", max_attempts=1)
        bus.publish_many([{"type": "a", "subject": f"s{n}"} for n in range(900)])
        wait_until(lambda: dead_count(bus) == 900, "all are dead", LONG_S)
    bus = open_bus(url)
    # Cut off after some of its steps.
    real, left = bus.log.commit, [3]

    def commit(unit: Any) -> None:
        if unit.call is not None and left[0] == 0:
            bus.operations._closing.set()
        real(unit)
        left[0] -= unit.call is not None

    bus.log.commit = commit  # type: ignore[method-assign]
    operation = bus.operations.redrive(ALL, "ann")
    wait_until(bus.operations._closing.is_set, "it was cut off", LONG_S)
    bus.close()
    handler = Recorder()
    with open_bus(url) as bus:
        bus.subscribe("a", handler, name="mine")
        ended = finish(bus, operation)
        assert (ended.state, ended.total, ended.done, ended.skipped) == ("finished", 900, 900, 0)
        assert bus.drain(LONG_S)
        counts = Counter(event.sequence for event in handler.events)
        assert set(counts) == set(range(1, 901)) and set(counts.values()) == {1}
        assert [type for type, _ in told(bus)] == ["bus.redrive.started", "bus.redrive.finished"]


def test_ten_thousand_come_back_beside_live_events(
    bus: EventBus, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.CRITICAL, "eventbus")  # ten thousand lines say nothing new
    is_mended, handled, most_open = threading.Event(), Counter[int](), [0]
    lane_of = bus.dispatcher.lanes

    async def handle(event: Event) -> None:
        if not is_mended.is_set():
            raise ValueError("broken")
        handled[event.sequence or 0] += 1
        most_open[0] = max(most_open[0], lane_of()["mine"].open)

    bus.subscribe("a", handle, name="mine", max_attempts=1)
    for _ in range(10):
        bus.publish_many([{"type": "a", "subject": f"s{n}"} for n in range(1_000)])
    wait_until(lambda: dead_count(bus) == 10_000, "all are dead", 120.0)
    is_mended.set()
    operation = bus.operations.redrive(ALL, "ann")
    live = [bus.publish("a", subject=f"s{n}").event.sequence for n in range(300)]
    assert bus.operations.wait(operation.id, 120.0)
    assert bus.drain(60.0)
    ended = bus.operations.get(operation.id)
    assert ended is not None
    assert (ended.done, ended.outcomes) == (10_000, {"succeeded": 10_000})
    assert set(handled) == {*range(1, 10_001), *live}
    assert set(handled.values()) == {1}
    assert most_open[0] < 1_500


# -- discard ------------------------------------------------------------------------------------


def test_a_discarded_delivery_is_no_dead_letter_and_says_why(bus: EventBus, mended: Mended) -> None:
    operation = bus.operations.discard(Selection(pattern=Pattern("a.odd")), "ann", "test data")
    ended = finish(bus, operation)
    assert (ended.state, ended.done, dead_count(bus)) == ("finished", 5, 5)
    delivery = only(bus, 1)
    assert (delivery.state, delivery.error_class) == ("discarded", "ValueError")
    assert len(delivery.attempts) == 3
    (done,) = delivery.interventions
    assert (done.kind, done.by, done.reason) == ("discard", "ann", "test data")
    assert [type for type, _ in told(bus)] == ["bus.discard.started", "bus.discard.finished"]
    assert len(bus.log.list_deliveries("discarded").deliveries) == 5
    assert finish(bus, bus.operations.redrive(ALL, "ann")).done == 5
    assert only(bus, 1).state == "discarded"


def test_discarding_needs_a_reason(bus: EventBus) -> None:
    with pytest.raises(OperationError, match="needs a reason"):
        bus.operations.discard(ALL, "ann", " ")


def test_dead_letters_of_a_removed_subscription_can_be_discarded(
    bus: EventBus, mended: Mended
) -> None:
    bus.unsubscribe("mine")
    assert bus.operations.preview("discard", ALL).total == 10
    assert finish(bus, bus.operations.discard(ALL, "ann", "gone")).done == 10
    assert dead_count(bus) == 0


# -- replay -------------------------------------------------------------------------------------


def test_a_replay_delivers_recorded_events_again_to_one_subscription(bus: EventBus) -> None:
    bus.publish("a.b")  # before anybody is subscribed
    mine, other = Recorder(), Recorder()
    bus.subscribe("a.*", mine, name="mine")
    bus.subscribe("#", other, name="other")
    bus.publish_many([{"type": type} for type in ("a.b", "b", "a.c", "a.b")])
    assert bus.drain(LONG_S)
    replayed = Replayed("mine", Pattern("*.b"), first=1, last=4)
    preview = bus.operations.preview_replay(replayed)
    assert (preview.total, preview.skipped) == (2, 0)
    ended = finish(bus, bus.operations.replay(replayed, "ann", "a new index"))
    assert (ended.state, ended.total, ended.done, ended.skipped) == ("finished", 2, 2, 0)
    assert [event.sequence for event in mine.events] == [2, 4, 5, 1, 2]
    assert 1 not in [event.sequence for event in other.events]
    (again,) = [d for d in bus.log.deliveries(2) if d.subscription == "mine"]
    assert [(a.round, a.number, a.outcome) for a in again.attempts] == [
        (1, 1, "succeeded"), (2, 1, "succeeded"),
    ]  # fmt: skip
    assert [(i.kind, i.state_before) for i in again.interventions] == [("replay", "succeeded")]
    (first,) = bus.log.deliveries(1)
    assert (first.round, first.interventions[0].state_before) == (1, None)
    assert [t for t, _ in told(bus)] == ["bus.replay.started", "bus.replay.finished"]


def test_further_events_of_a_replayed_delivery_are_duplicates(bus: EventBus) -> None:
    bus.subscribe("a", lambda event: bus.publish("b"), name="mine")
    bus.publish("a")
    assert bus.drain(LONG_S)
    finish(bus, bus.operations.replay(Replayed("mine"), "ann"))
    assert [e.type for e in bus.log.read(0, 100, Pattern("b")).events] == ["b"]


def test_a_replay_skips_what_is_to_be_done_anyway_and_what_was_discarded(bus: EventBus) -> None:
    go_on = threading.Event()

    def handle(event: Event) -> None:
        if event["n"] == 0:
            raise ValueError("no")
        assert event["n"] != 2 or go_on.wait(LONG_S)

    bus.subscribe("a", handle, name="mine", max_attempts=1)
    for n in range(3):
        bus.publish("a", {"n": n}, subject=f"s{n}")
    wait_until(lambda: dead_count(bus) == 1, "one is dead", LONG_S)
    bus.operations.wait(bus.operations.discard(ALL, "ann", "never").id, LONG_S)
    wait_until(lambda: only(bus, 2).state == "succeeded", "one is done", LONG_S)
    preview = bus.operations.preview_replay(Replayed("mine"))
    assert (preview.total, preview.skipped) == (3, 2)
    operation = bus.operations.replay(Replayed("mine"), "ann")
    assert bus.operations.wait(operation.id, LONG_S)
    go_on.set()
    ended = finish(bus, operation)
    assert (ended.done, ended.skipped, ended.outcomes) == (1, 2, {"succeeded": 1})
    assert only(bus, 1).state == "discarded"


def test_a_replay_keeps_to_its_rate(bus: EventBus) -> None:
    mine = Recorder()
    bus.subscribe("a", mine, name="mine")
    bus.publish_many([{"type": "a"} for _ in range(50)])
    assert bus.drain(LONG_S)
    operation = bus.operations.replay(Replayed("mine"), "ann", rate=0.01)
    mine.wait_for(51)
    stopped = bus.operations.stop(operation.id, "ann")
    assert stopped is not None
    assert (stopped.state, stopped.done, stopped.total) == ("stopped", 1, 50)


def test_a_subscription_that_keeps_state_is_not_replayed_to(bus: EventBus) -> None:
    bus.subscribe("a", Recorder(), name="model")
    bus.operations.refuse_replay("model", "make it afresh instead")
    with pytest.raises(OperationError, match="'model' keeps state .*; make it afresh instead"):
        bus.operations.replay(Replayed("model"), "ann")
    with pytest.raises(OperationError, match="no durable subscription is named 'none'"):
        bus.operations.preview_replay(Replayed("none"))
    with pytest.raises(OperationError, match="above 0, not -1"):
        bus.operations.replay(Replayed("model"), "ann", rate=-1)
    assert bus.operations.list().operations == []


def test_operations_are_listed_newest_first(bus: EventBus) -> None:
    for _ in range(5):
        finish(bus, bus.operations.redrive(ALL, "ann"))
    first = bus.operations.list(limit=3)
    rest = bus.operations.list(limit=3, cursor=first.next)
    assert [o.id for o in first.operations + rest.operations] == [5, 4, 3, 2, 1]
    assert rest.next is None
