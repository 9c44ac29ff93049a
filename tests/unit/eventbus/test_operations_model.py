"""Deliveries that fail, come back, are discarded and replayed in any order: against a model."""

from __future__ import annotations

import threading
from collections import Counter
from contextlib import ExitStack

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, rule

from eventbus import Event, EventBus
from eventbus import handover as handover_module
from eventbus import lane as lane_module
from eventbus import lane_reader as lane_reader_module
from eventbus.log import Operation, Replayed, Selection
from tests.helpers.bus import LONG_S, open_bus
from tests.helpers.databases import fresh_url
from tests.helpers.examples import examples

NAMES = ("one", "two")
Key = tuple[int, str]


class World:
    """What handlers do, and a note of what they handled; it outlives the bus."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.broken: set[int] = set()  # sequences that fail
        self.handled: Counter[Key] = Counter()
        self.inside: set[tuple[str, str]] = set()
        self.overlaps: list[tuple[str, str]] = []

    def handler(self, name: str):  # type: ignore[no-untyped-def]
        def handle(event: Event) -> None:
            key = (name, event.subject)
            with self.lock:
                if key in self.inside:
                    self.overlaps.append(key)
                self.inside.add(key)
            try:
                if event.sequence in self.broken:
                    raise ValueError("broken")
                with self.lock:
                    self.handled[(event.sequence or 0, name)] += 1
            finally:
                with self.lock:
                    self.inside.discard(key)

        return handle


class Deliveries(RuleBasedStateMachine):
    """The model is a state for each delivery, and how often it must have been handled."""

    database = "sqlite"

    @initialize()
    def open(self) -> None:
        self.patch = pytest.MonkeyPatch()
        self.patch.setattr(lane_module, "WINDOW", 6)
        self.patch.setattr(lane_module, "MAX_WAITING", 12)
        self.patch.setattr(lane_module, "PAGE", 5)
        self.patch.setattr(lane_reader_module, "PAGE", 5)
        self.patch.setattr(handover_module, "_MAX_EVENTS", 8)
        self.place = ExitStack()
        self.url = self.place.enter_context(fresh_url(self.database))
        self.world = World()
        self.states: dict[Key, str] = {}
        self.handled: Counter[Key] = Counter()
        self.begin()

    def begin(self) -> None:
        self.bus: EventBus = open_bus(self.url)
        for name in NAMES:
            self.bus.subscribe(
                "a", self.world.handler(name), name=name, max_attempts=1, concurrency=4
            )

    @rule(count=st.integers(1, 30), failing=st.integers(0, 4))
    def publish(self, count: int, failing: int) -> None:
        first = max((sequence for sequence, _ in self.states), default=0)
        first = max(first, self.bus.log.last_sequence)
        with self.world.lock:
            self.world.broken |= {first + n for n in range(1, count + 1) if n % 4 < failing}
        receipt = self.bus.publish_many(
            [{"type": "a", "subject": f"s{n % 5}"} for n in range(count)]
        )
        for event in receipt.events:
            for name in NAMES:
                self.run((event.sequence or 0, name))

    def run(self, key: Key) -> None:
        """The delivery is made: it succeeds or dies."""
        if key[0] in self.world.broken:
            self.states[key] = "dead"
        else:
            self.states[key] = "succeeded"
            self.handled[key] += 1

    @rule(share=st.integers(0, 3))
    def mend(self, share: int) -> None:
        self.settle()
        self.world.broken = {n for n in self.world.broken if n % 4 < share}

    @rule(name=st.sampled_from(NAMES) | st.none())
    def redrive(self, name: str | None) -> None:
        self.settle()
        selected = [k for k, s in self.states.items() if s == "dead" and name in (None, k[1])]
        done = self.end(self.bus.operations.redrive(Selection(subscription=name), "ann"))
        assert (done.total, done.done, done.skipped) == (len(selected), len(selected), 0)
        for key in selected:
            self.run(key)

    @rule(data=st.data())
    def discard(self, data: st.DataObject) -> None:
        self.settle()
        dead = sorted(key for key, state in self.states.items() if state == "dead")
        chosen = data.draw(st.lists(st.sampled_from(dead), unique=True)) if dead else []
        selection = Selection(deliveries=tuple(chosen))
        done = self.end(self.bus.operations.discard(selection, "ann", "enough"))
        assert done.done == len(chosen)
        self.states.update(dict.fromkeys(chosen, "discarded"))

    @rule(name=st.sampled_from(NAMES), first=st.integers(1, 60), length=st.integers(0, 60))
    def replay(self, name: str, first: int, length: int) -> None:
        self.settle()
        keys = [k for k in self.states if k[1] == name and first <= k[0] <= first + length]
        again = [key for key in keys if self.states[key] != "discarded"]
        replayed = Replayed(name, first=first, last=first + length)
        done = self.end(self.bus.operations.replay(replayed, "ann"))
        assert (done.total, done.done) == (len(keys), len(again))
        for key in again:
            self.run(key)

    @rule(count=st.integers(1, 30))
    def redrive_while_publishing(self, count: int) -> None:
        self.settle()
        selected = [key for key, state in self.states.items() if state == "dead"]
        operation = self.bus.operations.redrive(Selection(), "ann")
        self.publish(count, 2)
        self.end(operation)
        for key in selected:
            self.run(key)

    @rule()
    def restart(self) -> None:
        self.settle()
        self.bus.close()
        self.begin()

    @rule()
    def subscribe_anew(self) -> None:
        self.settle()
        self.bus.detach("one")
        handler = self.world.handler("one")
        self.bus.subscribe("a", handler, name="one", max_attempts=1, concurrency=4)

    def end(self, operation: Operation) -> Operation:
        assert self.bus.operations.wait(operation.id, LONG_S)
        ended = self.bus.operations.get(operation.id)
        assert ended is not None and ended.state == "finished"
        return ended

    def settle(self) -> None:
        """Everything that was to be done is done, once, and the log says so."""
        assert self.bus.drain(LONG_S)
        found: dict[Key, str] = {}
        for sequence in {sequence for sequence, _ in self.states}:
            for delivery in self.bus.log.deliveries(sequence):
                found[(sequence, delivery.subscription)] = delivery.state
        assert found == self.states
        assert self.world.handled == self.handled
        assert self.world.overlaps == []
        dead = sum(state == "dead" for state in self.states.values())
        assert self.bus.log.delivery_counts() == {"pending": 0, "retrying": 0, "dead": dead}

    def teardown(self) -> None:
        if not hasattr(self, "bus"):
            return  # its database does not run here
        try:
            self.settle()
        finally:
            self.bus.close()
            self.patch.undo()
            self.place.close()


class DeliveriesOnPostgresql(Deliveries):
    database = "postgresql"


TestDeliveries = Deliveries.TestCase
TestDeliveriesOnPostgresql = DeliveriesOnPostgresql.TestCase
TestDeliveries.settings = settings(
    max_examples=examples(5), stateful_step_count=14, deadline=None,
    suppress_health_check=[HealthCheck.too_slow],
)  # fmt: skip
TestDeliveriesOnPostgresql.settings = settings(TestDeliveries.settings, max_examples=examples(2))
