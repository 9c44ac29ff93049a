"""Order and concurrency: one key at a time and in sequence, different keys beside each other."""

from __future__ import annotations

import asyncio
import random
import threading
from collections import defaultdict

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from eventbus import Event, EventBus
from tests.helpers.bus import LONG_S, Failing, Recorder, open_bus
from tests.helpers.examples import examples


class Overlap:
    """An async handler that notes which keys overlap with themselves, and how many run at once."""

    def __init__(self, fails: set[int] | None = None) -> None:
        self.order: dict[str, list[int]] = defaultdict(list)
        self.running: dict[str, int] = defaultdict(int)
        self.most_at_once = 0
        self.broken: list[str] = []
        self.fails = fails or set()

    async def handle(self, event: Event) -> None:
        key = event.subject
        self.running[key] += 1
        if self.running[key] > 1:
            self.broken.append(key)
        self.most_at_once = max(self.most_at_once, sum(self.running.values()))
        try:
            for _ in range(random.randrange(3)):
                await asyncio.sleep(0)
            if event.sequence in self.fails:
                self.fails.discard(event.sequence)
                raise RuntimeError("once")
            self.order[key].append(event.sequence or 0)
        finally:
            self.running[key] -= 1


@settings(max_examples=examples(10), deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    st.lists(st.sampled_from("abcd"), min_size=1, max_size=60),
    st.integers(1, 5),
    st.sets(st.integers(1, 60), max_size=4),
    st.booleans(),
)
def test_each_subject_is_handled_in_sequence_and_one_at_a_time(
    subjects: list[str], concurrency: int, fails: set[int], is_batch: bool
) -> None:
    expected: dict[str, list[int]] = defaultdict(list)
    for sequence, subject in enumerate(subjects, start=1):
        expected[subject].append(sequence)
    handler = Overlap(set(fails))
    with open_bus("sqlite://") as bus:
        bus.subscribe("a", handler.handle, concurrency=concurrency)
        events = [Event.create("a", subject=subject) for subject in subjects]
        if is_batch:
            receipts = bus.publish_many(events)
        else:
            for event in events:
                bus.publish_event(event)
        # A retry holds back the rest of its subject, so the last of each tells that all are done.
        last = {sequences[-1] for sequences in expected.values()}
        for sequence in last:
            wait_until_succeeded(bus, sequence)
    assert handler.order == expected
    assert not handler.broken
    assert handler.most_at_once <= concurrency
    if is_batch:
        assert [event.sequence for event in receipts.events] == list(range(1, len(subjects) + 1))


def wait_until_succeeded(bus: EventBus, sequence: int) -> None:
    with bus.watch(sequence) as changed:
        while bus.log.deliveries(sequence)[0].state != "succeeded":
            assert changed.wait(LONG_S), f"event {sequence} was not handled"
            changed.clear()


def test_different_subjects_run_at_once(bus: EventBus) -> None:
    together = threading.Barrier(4)
    handler = Recorder(lambda event: together.wait(LONG_S))
    bus.subscribe("a", handler, name="mine", concurrency=4)
    for number in range(4):
        bus.publish("a", subject=f"s{number}")
    assert bus.drain(LONG_S)  # only if all four were in the handler at the same time
    assert len(handler.events) == 4


def test_async_handlers_of_different_subjects_run_at_once(bus: EventBus) -> None:
    arrived: list[str] = []
    everyone_is_here = asyncio.Event()

    async def handler(event: Event) -> None:
        arrived.append(event.subject)
        if len(arrived) == 16:
            everyone_is_here.set()
        await everyone_is_here.wait()

    bus.subscribe("a", handler, name="mine")
    for number in range(16):
        bus.publish("a", subject=f"s{number}")
    assert bus.drain(LONG_S)


def test_one_subject_waits_while_another_goes_on(bus: EventBus) -> None:
    go_on = threading.Event()

    def handle(event: Event) -> None:
        if event.subject == "slow":
            assert go_on.wait(LONG_S)

    handler = Recorder(handle)
    bus.subscribe("a", handler, name="mine")
    for subject in ("slow", "slow", "quick", "quick"):
        bus.publish("a", subject=subject)
    handler.wait_for(3)
    assert handler.values("none") == [None] * 3
    assert sorted(event.subject for event in handler.events) == ["quick", "quick", "slow"]
    go_on.set()
    assert bus.drain(LONG_S)
    assert len(handler.events) == 4


def test_a_retrying_delivery_holds_back_its_subject_at_its_subscription_alone(
    bus: EventBus,
) -> None:
    handled: list[tuple[str, int]] = []
    failing = Failing(times=2)

    def handle(event: Event) -> None:
        if event.sequence == 1:
            failing(event)
            if not handled:
                raise RuntimeError("the other subject has yet to go by")
        handled.append((event.subject, event.sequence or 0))

    other = Recorder()
    bus.subscribe("a", handle, name="mine", max_attempts=100_000)
    bus.subscribe("a", other, name="other")
    bus.publish_many([
        Event.create("a", subject="x"), Event.create("a", subject="x"),
        Event.create("a", subject="y"),
    ])  # fmt: skip
    other.wait_for(3)
    wait_until_succeeded(bus, 2)
    assert bus.drain(LONG_S)
    assert handled == [("y", 3), ("x", 1), ("x", 2)]
    assert failing.calls >= 3


def test_a_dead_letter_lets_the_rest_of_its_subject_go(bus: EventBus) -> None:
    def handle(event: Event) -> None:
        if event.sequence == 1:
            raise RuntimeError("always")

    handler = Recorder(handle)
    bus.subscribe("a", handler, name="mine", max_attempts=2)
    bus.publish_many([{"type": "a", "subject": "x"}, {"type": "a", "subject": "x"}])
    assert [event.sequence for event in handler.wait_for(3)] == [1, 1, 2]
    assert bus.drain(LONG_S)
    assert [bus.log.deliveries(n)[0].state for n in (1, 2)] == ["dead", "succeeded"]


def test_the_ordering_key_can_be_chosen(bus: EventBus) -> None:
    go_on = threading.Event()

    def handle(event: Event) -> None:
        assert event["queue"] == "other" or go_on.wait(LONG_S)

    handler = Recorder(handle)
    bus.subscribe("a", handler, name="mine", key=lambda event: event["queue"])
    for number, queue in enumerate(["slow", "slow", "other"]):
        bus.publish("a", {"queue": queue}, subject=f"s{number}")
    handler.wait_for(2)
    assert sorted(handler.values("queue")) == ["other", "slow"]
    go_on.set()
    assert bus.drain(LONG_S)
    assert handler.values("queue").count("slow") == 2


def test_an_event_that_the_key_function_cannot_read_does_not_stop_the_others(
    bus: EventBus,
) -> None:
    handler = Recorder()
    bus.subscribe("a", handler, name="mine", key=lambda event: event["queue"])
    bus.publish("a", {})
    bus.publish("a", {"queue": "q"})
    assert bus.drain(LONG_S)
    assert len(handler.events) == 2


def test_a_long_backlog_of_one_subject_stays_in_order(url: str) -> None:
    # More than a lane keeps as objects, so that some wait as bare sequences and some in the log.
    with open_bus(url) as bus:
        bus.subscribe("a", Recorder(), name="mine")
    with open_bus(url) as bus:
        for _ in range(5):
            bus.publish_many([{"type": "a", "subject": "x"} for _ in range(1000)])
        handler = Recorder()
        bus.subscribe("a", handler, name="mine", inline=True)
        bus.publish_many([{"type": "a", "subject": "x"} for _ in range(1000)])
        assert bus.drain(60)
        assert [event.sequence for event in handler.events] == list(range(1, 6001))


def test_a_flood_behind_a_slow_handler_arrives_whole_and_in_order(bus: EventBus) -> None:
    go_on = threading.Event()
    slow = Recorder(lambda event: go_on.wait(LONG_S))
    lambda_got = Recorder()
    bus.subscribe("a", slow, name="slow", inline=False, concurrency=1)
    bus.subscribe("a", lambda event: lambda_got(event), inline=True)
    for start in range(0, 6000, 1000):
        bus.publish_many([
            {"type": "a", "subject": f"s{number % 5}"} for number in range(start, start + 1000)
        ])  # fmt: skip
    lambda_got.wait_for(6000)
    go_on.set()
    assert bus.drain(60)
    for handler in (slow, lambda_got):
        by_subject = defaultdict(list)
        for event in handler.events:
            by_subject[event.subject].append(event.sequence or 0)
        assert sorted(n for found in by_subject.values() for n in found) == list(range(1, 6001))
        assert all(found == sorted(found) for found in by_subject.values())
