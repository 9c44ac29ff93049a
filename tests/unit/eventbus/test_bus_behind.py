"""Subscriptions that cannot keep up: reading the log, they lose, double and reorder nothing."""

from __future__ import annotations

import asyncio
import random
import threading
from collections import defaultdict

import pytest

from eventbus import Event, EventBus, RetryPolicy
from eventbus import handover as handover_module
from eventbus import lane as lane_module
from eventbus import lane_reader as lane_reader_module
from eventbus.log import deliveries as deliveries_module
from tests.helpers.bus import LONG_S, open_bus
from tests.helpers.waiting import wait_until

COUNT = 400


@pytest.fixture(params=["count", "size"])
def narrow(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Bounds so tight that every way around them is taken within a few hundred events."""
    monkeypatch.setattr(handover_module, "_MAX_EVENTS", 8)
    monkeypatch.setattr(lane_module, "MAX_WAITING", 12)
    monkeypatch.setattr(lane_module, "MAX_RETRYING", 3)
    monkeypatch.setattr(lane_module, "PAGE", 5)
    monkeypatch.setattr(lane_reader_module, "PAGE", 5)
    if request.param == "count":
        monkeypatch.setattr(lane_module, "WINDOW", 6)
    else:  # a payload of the tests has about ten characters
        monkeypatch.setattr(lane_module, "WINDOW_CHARS", 60)
        monkeypatch.setattr(lane_module, "_KEPT_CHARS", 5)
        monkeypatch.setattr(deliveries_module, "MOST_CHARS", 20)


class Careless:
    """Fails at random, takes its time at random, and notes what it has handled, by subject."""

    def __init__(self, seed: int) -> None:
        self._random = random.Random(seed)
        self.handled: dict[str, list[int]] = defaultdict(list)

    async def __call__(self, event: Event) -> None:
        chance = self._random.random()
        if chance < 0.1:
            await asyncio.sleep(0.001)
        if chance > 0.9:
            raise RuntimeError("not this time")
        assert event.sequence is not None
        self.handled[event.subject].append(event.sequence)


def expected(bus: EventBus) -> dict[str, list[int]]:
    subjects: dict[str, list[int]] = defaultdict(list)
    for event in bus.log.read(0, 10_000).events:
        assert event.sequence is not None
        subjects[event.subject].append(event.sequence)
    return subjects


def publish_all(bus: EventBus, seed: int) -> None:
    """From three threads at once, singly and in batches."""

    def publish(number: int) -> None:
        choose = random.Random(seed * 10 + number)
        left = COUNT // 3
        while left:
            size = min(left, choose.choice([1, 1, 7, 20]))
            subjects = [f"s{choose.randrange(9)}" for _ in range(size)]
            bus.publish_many([Event.create("a.b", subject=subject) for subject in subjects])
            left -= size

    threads = [threading.Thread(target=publish, args=(number,)) for number in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


@pytest.mark.usefixtures("narrow")
@pytest.mark.parametrize("seed", range(4))
def test_a_durable_subscription_that_falls_behind_gets_everything_in_order(
    url: str, seed: int
) -> None:
    retry = RetryPolicy(max_attempts=50, base_delay_s=0.001, max_delay_s=0.005)
    handler = Careless(seed)
    with open_bus(url, retry=retry) as bus:
        bus.subscribe("a.*", handler, name="careless")
        publish_all(bus, seed)
        wait_until(lambda: bus.subscriptions()[0].lag == 0, "all is handled", LONG_S)
        assert dict(handler.handled) == dict(expected(bus))


@pytest.mark.usefixtures("narrow")
@pytest.mark.parametrize("seed", range(2))
def test_it_goes_on_where_it_was_after_a_restart(url: str, seed: int) -> None:
    retry = RetryPolicy(max_attempts=50, base_delay_s=0.001, max_delay_s=0.005)
    handler = Careless(seed)
    with open_bus(url, retry=retry) as bus:
        bus.subscribe("a.*", handler, name="careless")
        publish_all(bus, seed)
    with open_bus(url, retry=retry) as bus:
        bus.subscribe("a.*", handler, name="careless")
        publish_all(bus, seed + 100)
        wait_until(lambda: bus.subscriptions()[0].lag == 0, "all is handled", LONG_S)
        for subject, sequences in expected(bus).items():
            # What ran while the first bus closed may run again: at least once, and in order.
            handled = list(dict.fromkeys(handler.handled[subject]))
            assert handled == sequences


@pytest.mark.usefixtures("narrow")
def test_an_ephemeral_subscription_that_falls_behind_reads_the_events(url: str) -> None:
    handled: dict[str, list[int]] = defaultdict(list)

    async def note(event: Event) -> None:
        await asyncio.sleep(0)
        assert event.sequence is not None
        handled[event.subject].append(event.sequence)

    with open_bus(url) as bus:
        bus.subscribe("a.*", note)
        publish_all(bus, 1)
        assert bus.drain(LONG_S)
        assert dict(handled) == dict(expected(bus))


@pytest.mark.usefixtures("narrow")
def test_with_too_many_retries_waiting_no_new_ones_begin_until_they_succeed(url: str) -> None:
    is_broken = threading.Event()
    is_broken.set()
    handled: list[int] = []

    async def handle(event: Event) -> None:
        if is_broken.is_set():
            raise RuntimeError("broken for all")
        assert event.sequence is not None
        handled.append(event.sequence)

    retry = RetryPolicy(max_attempts=10_000, base_delay_s=0.01, max_delay_s=0.02)
    with open_bus(url, retry=retry) as bus:
        bus.subscribe("a", handle, name="broken")
        payload = {"number": 1_000_000}
        subjects = [f"s{number}" for number in range(60)]
        bus.publish_many([Event.create("a", payload, subject=subject) for subject in subjects])
        wait_until(lambda: bus.subscriptions()[0].retrying >= 3, "retries wait", LONG_S)
        assert bus.drain(0.3) is False
        # Those that were already on their way may be added to the bound, not all sixty.
        assert bus.subscriptions()[0].retrying <= 3 + 6
        is_broken.clear()
        wait_until(lambda: bus.subscriptions()[0].lag == 0, "all is handled", LONG_S)
        assert sorted(handled) == list(range(1, 61))
