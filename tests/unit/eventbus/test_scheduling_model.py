"""Random schedules, cancellations, restarts and clocks against a model of a few lines."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from eventbus import EventBus
from eventbus.testing import FakeClock
from eventbus.testing.clock import DEFAULT_START
from tests.helpers.bus import LONG_S
from tests.helpers.databases import fresh_url
from tests.helpers.examples import examples

ids = st.sampled_from("abcd")
seconds = st.integers(1, 20)
steps = st.one_of(
    st.tuples(st.just("schedule"), ids, seconds),
    st.tuples(st.just("schedule in a handler"), ids, seconds),
    st.tuples(st.just("cancel"), ids, st.just(0)),
    st.tuples(st.just("cancel in a handler"), ids, st.just(0)),
    st.tuples(st.just("publish"), ids, st.just(0)),
    st.tuples(st.just("advance"), st.just(""), seconds),
    st.tuples(st.just("restart"), st.just(""), st.integers(0, 20)),
)


class Model:
    """What should be scheduled and recorded; a step in whole seconds."""

    def __init__(self) -> None:
        self.now = 0
        self.order = 0
        self.scheduled: dict[str, tuple[int, int]] = {}  # due, in which order it came
        self.recorded: list[tuple[str, int]] = []

    def schedule(self, id: str, delay: int) -> None:
        if id not in self.scheduled and not self.has(id):
            self.order += 1
            self.scheduled[id] = (self.now + delay, self.order)

    def publish(self, id: str) -> None:
        if not self.has(id):
            self.recorded.append((id, self.now))

    def cancel(self, id: str) -> bool:
        return self.scheduled.pop(id, None) is not None

    def advance(self, delay: int) -> None:
        self.now += delay
        for due, _, id in sorted((*when, id) for id, when in self.scheduled.items()):
            if due <= self.now:
                del self.scheduled[id]
                if not self.has(id):
                    self.recorded.append((id, due))

    def has(self, id: str) -> bool:
        return any(known == id for known, _ in self.recorded)


class Subject:
    """The bus, with handlers that do as they are told."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.clock = FakeClock()
        self.cancelled: list[bool] = []
        self.open()

    def open(self) -> None:
        self.bus = EventBus.open(self.url, clock=self.clock)
        self.clock.attach(self.bus)
        self.bus.subscribe("do.schedule", self.schedule, name="scheduler")
        self.bus.subscribe("do.cancel", self.cancel, name="canceller")

    async def schedule(self, event: Any) -> None:
        await self.bus.publish("it", id=event["id"], source="/s", delay=event["delay"])

    def cancel(self, event: Any) -> None:
        self.cancelled.append(bool(self.bus.cancel(event["id"])))

    def restart(self, later: int) -> None:
        self.bus.close()
        self.clock.detach(self.bus)
        self.clock.advance(later)
        self.open()
        assert self.bus.drain(LONG_S)

    def recorded(self) -> list[tuple[str, int]]:
        return [
            (event.id, (event.time - DEFAULT_START) // timedelta(seconds=1))
            for event in self.bus.log.read(0, 1_000).events
            if event.type == "it"
        ]


def run(subject: Subject, history: Sequence[tuple[str, str, int]]) -> None:
    model = Model()
    for what, id, number in history:
        bus = subject.bus
        if what == "schedule":
            model.schedule(id, number)
            bus.publish("it", id=id, source="/s", delay=number).wait(LONG_S)
        elif what == "schedule in a handler":
            model.schedule(id, number)
            bus.publish("do.schedule", {"id": id, "delay": number})
            assert bus.drain(LONG_S)
        elif what == "publish":
            model.publish(id)
            bus.publish("it", id=id, source="/s")
        elif what == "cancel":
            assert bool(bus.cancel(id)) == model.cancel(id)
        elif what == "cancel in a handler":
            bus.publish("do.cancel", {"id": id})
            assert bus.drain(LONG_S)
            assert subject.cancelled[-1] == model.cancel(id)
        elif what == "advance":
            model.advance(number)
            subject.clock.advance(number)
        else:
            model.advance(number)
            subject.restart(number)
        assert subject.recorded() == model.recorded
        page = subject.bus.log.schedules.page(100)
        assert [event.id for event in page.events] == sorted(
            model.scheduled, key=lambda id: model.scheduled[id]
        )


def check(database: str, history: Sequence[tuple[str, str, int]]) -> None:
    with fresh_url(database) as url:
        subject = Subject(url)
        try:
            run(subject, history)
        finally:
            subject.bus.close()


@settings(max_examples=examples(15), deadline=None)
@given(st.lists(steps, max_size=25))
def test_every_schedule_is_recorded_once_in_time_and_in_order_or_cancelled(
    history: list[tuple[str, str, int]],
) -> None:
    check("sqlite", history)


@settings(max_examples=examples(3), deadline=None)
@given(st.lists(steps, min_size=5, max_size=25))
def test_it_is_on_postgresql_too(history: list[tuple[str, str, int]]) -> None:
    check("postgresql", history)
