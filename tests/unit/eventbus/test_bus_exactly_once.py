"""Exactly once: whatever fails and however often the bus is cut off, each effect is there, once."""

from __future__ import annotations

import asyncio
import random
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import Connection, text

from eventbus import Event, EventBus, RetryPolicy
from eventbus.ids import derived_id
from tests.helpers.bus import LONG_S, open_bus
from tests.helpers.databases import fresh_url
from tests.helpers.examples import examples
from tests.helpers.waiting import wait_until

POLICY = RetryPolicy(max_attempts=100, base_delay_s=0.001, max_delay_s=0.005)


def create_tally(conn: Connection) -> None:
    conn.execute(text("CREATE TABLE tally (what TEXT NOT NULL)"))


def add(conn: Connection, whats: list[str]) -> None:
    conn.execute(text("INSERT INTO tally VALUES (:what)"), [{"what": what} for what in whats])


def tally(bus: EventBus) -> list[str]:
    with bus.log.reading() as conn:
        return sorted(conn.execute(text("SELECT what FROM tally")).scalars())


def serve(bus: EventBus, chance: random.Random, failing: float) -> None:
    """Handlers of every kind that fail at random, before, between and after what they ask for."""

    def maybe_fail() -> None:
        if chance.random() < failing:
            raise RuntimeError("by chance")

    def ask(event: Event, name: str) -> None:
        bus.effect(add, f"{name} {event.id}")
        maybe_fail()
        if event.type == "order":
            bus.publish("order.followed", subject=event.subject)
        maybe_fail()

    async def asynchronous(event: Event) -> None:
        await asyncio.sleep(0)
        ask(event, "asynchronous")
        await asyncio.sleep(0)
        maybe_fail()

    bus.log.migrate("tally", [create_tally])
    bus.subscribe("order", lambda event: ask(event, "sync"), name="sync", concurrency=3)
    bus.subscribe("order", asynchronous, name="asynchronous", concurrency=3)
    bus.subscribe("#", lambda event: ask_all(bus, event), name="inline", inline=True)


def ask_all(bus: EventBus, event: Event) -> None:
    bus.effect(add, f"inline {event.id}")


lives = st.lists(st.lists(st.sampled_from("xyz"), max_size=25), min_size=1, max_size=5)


@settings(max_examples=examples(6), deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(lives, st.sampled_from([0.0, 0.1, 0.3]), st.integers(0, 10_000))
def test_effects_happen_once_whatever_fails_and_however_often_it_is_cut_off(
    lives: list[list[str]], failing: float, seed: int
) -> None:
    live(lives, failing, seed, "sqlite")


@settings(max_examples=examples(2), deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(lives, st.sampled_from([0.0, 0.1, 0.3]), st.integers(0, 10_000))
def test_they_do_on_postgresql_too(lives: list[list[str]], failing: float, seed: int) -> None:
    live(lives, failing, seed, "postgresql")


def live(lives: list[list[str]], failing: float, seed: int, database: str) -> None:
    chance = random.Random(seed)
    with fresh_url(database) as url:
        published: list[Event] = []
        for subjects in lives:
            with open_bus(url, retry=POLICY) as bus:
                serve(bus, chance, failing)
                for subject in subjects:
                    published.append(bus.publish("order", subject=subject).event)
                bus.close(timeout=0.001)  # in the middle of whatever runs
        with open_bus(url, retry=POLICY) as bus:
            serve(bus, chance, failing)
            wait_until(lambda: is_done(bus), "every delivery has succeeded", LONG_S)
            check(bus, published)


def is_done(bus: EventBus) -> bool:
    counts: dict[str, Any] = bus.log.delivery_counts()
    return counts["pending"] == counts["retrying"] == 0


def check(bus: EventBus, published: list[Event]) -> None:
    orders = [event.id for event in published]
    followed = [
        derived_id(event.source, event.id, name, 0)
        for event in published
        for name in ("sync", "asynchronous")
    ]
    assert sorted(event.id for event in bus.log.read(0, 100_000).events) == sorted(
        orders + followed
    )
    expected = [f"{name} {id}" for id in orders for name in ("sync", "asynchronous")]
    expected += [f"inline {id}" for id in orders + followed]
    assert tally(bus) == sorted(expected)
    assert bus.log.delivery_counts()["dead"] == 0
