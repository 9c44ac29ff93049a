"""Retention: what goes, what stays, and read models that stay what they were."""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sqlalchemy import Connection, select, update

from eventbus import Event, EventBus
from eventbus.log import schema
from eventbus.log.selections import Selection
from eventbus.log.space import file_bytes, pages
from eventbus.retention import Removed, RetentionRules
from handlers import install
from handlers.rebuild import rebuild
from handlers.retention import retention
from tests.helpers.bus import LONG_S, Failing, open_bus
from tests.helpers.read_models import SETTINGS, decide, events, tables
from tests.helpers.waiting import wait_until
from tests.unit.handlers.test_rebuild import check, flaky, sabotage

DAY_US = 86_400 * 1_000_000
KEEP = "a.* keep 30d"


def age(bus: EventBus, days: Callable[[int], float] = lambda sequence: 40.0) -> None:
    """Have every event recorded ``days(sequence)`` before now."""
    column = schema.events.c.sequence

    def change(conn: Connection) -> None:
        now_us = time.time_ns() // 1_000
        for sequence in conn.execute(select(column)).scalars().all():
            recorded_us = now_us - int(days(sequence) * DAY_US)
            conn.execute(
                update(schema.events).where(column == sequence).values(recorded_us=recorded_us)
            )

    bus.log.between_commits(change)


def recorded(bus: EventBus) -> dict[int, Event]:
    return {event.sequence or 0: event for event in bus.log.read(0, limit=100_000).events}


def sequences(bus: EventBus, table: Any) -> set[int]:
    with bus.log.reading() as conn:
        return set(conn.execute(select(table.c.sequence)).scalars())


def run(bus: EventBus, rules: str, **options: Any) -> Removed:
    return retention(bus, RetentionRules.parse(rules), SETTINGS, **options).run()


def counted(removed: Removed) -> dict[str, tuple[int, int]]:
    return {rule: (each.events, each.payloads) for rule, each in removed.rules.items()}


def publish(bus: EventBus, type: str, count: int, **data: Any) -> None:
    bus.publish_many([{"type": type, "data": {"n": n, **data}} for n in range(count)])


def settle(bus: EventBus) -> None:
    """Every delivery has succeeded or is dead."""
    wait_until(lambda: all(not each.lag for each in bus.subscriptions()), "all is done or dead")


def test_old_events_go_with_all_that_is_about_them_and_the_newest_stays(bus: EventBus) -> None:
    flaky = Failing(times=2)
    bus.subscribe("a.#", flaky, name="own")
    publish(bus, "a.b", 10)
    settle(bus)
    age(bus)
    assert counted(run(bus, KEEP)) == {KEEP: (9, 0)}
    assert list(recorded(bus)) == [10]
    for table in (schema.deliveries, schema.attempts):
        assert sequences(bus, table) <= {10}
    assert (bus.log.removed_upto, bus.log.removed_count) == (9, 9)


def test_an_event_that_somebody_may_still_need_is_held_back_until_he_has_it(
    bus: EventBus,
) -> None:
    failing = Failing()
    bus.subscribe("a.dead", failing, name="own")
    publish(bus, "a.dead", 1)
    publish(bus, "a.b", 2)
    wait_until(lambda: bus.log.delivery_counts().get("dead"), "it is dead")
    age(bus)
    removed = run(bus, KEEP + "; # keep 40d payload 20d")
    assert counted(removed) == {KEEP: (1, 0)} and removed.held_back == 1
    assert not recorded(bus)[1].is_stripped
    failing.left = 0
    operation = bus.operations.redrive(Selection(), by="ana")
    assert bus.operations.wait(operation.id, LONG_S)
    settle(bus)
    age(bus)
    assert counted(run(bus, KEEP))[KEEP][0] >= 1
    assert 1 not in recorded(bus)


def test_a_payload_goes_before_its_event_and_the_event_says_so(bus: EventBus) -> None:
    publish(bus, "a.b", 3, secret="x" * 100)
    age(bus, lambda sequence: 5.0)
    assert counted(run(bus, "a.* keep 30d payload 1d")) == {"a.* keep 30d payload 1d": (0, 2)}
    first, second, newest = recorded(bus).values()
    assert first.is_stripped and second.is_stripped and not newest.is_stripped
    assert first.data == {} and first.to_dict()["dataremoved"] is True
    assert "data" not in first.to_dict() and '"dataremoved":true' in first.to_json()
    again = run(bus, "a.* keep 30d payload 1d")
    assert again.is_nothing


def test_the_audit_trail_stays_unless_a_rule_names_it(bus: EventBus) -> None:
    types = ["alert.critical", "alert.acknowledged", "bus.rebuild.started", "a.b"]
    data = {"alert_id": "1", "service": "s", "error": "broken"}
    bus.publish_many([{"type": type, "data": data} for type in [*types, "z.z"]])
    age(bus)
    run(bus, "* keep 30d")
    assert [event.type for event in recorded(bus).values()] == [
        "alert.acknowledged", "bus.rebuild.started", "z.z",
    ]  # fmt: skip
    run(bus, "bus.* keep 30d; alert.acknowledged keep 1y; * keep 30d")
    assert [event.type for event in recorded(bus).values()] == ["alert.acknowledged", "z.z"]


def test_a_database_that_is_too_large_loses_its_oldest_events(bus: EventBus) -> None:
    publish(bus, "kept.a", 5)
    publish(bus, "a.b", 1_500, text="x" * 1_000)
    age(bus, lambda sequence: 1.0)
    with bus.log.reading() as conn:
        limit = pages(conn).used_bytes // 2
    removed = run(bus, "kept.* keep forever", max_bytes=limit)
    left = sorted(recorded(bus))
    assert left[:5] == [1, 2, 3, 4, 5] and left[5:] == list(range(left[5], 1_506))
    assert 400 < len(left) < 900 and not removed.is_too_large
    with bus.log.reading() as conn:
        assert pages(conn).used_bytes <= limit
    assert run(bus, "kept.* keep forever; # keep forever", max_bytes=limit // 4).is_too_large


def test_what_was_recorded_just_now_stays_however_large_it_is(bus: EventBus) -> None:
    publish(bus, "a.b", 100, text="x" * 1_000)
    assert run(bus, "", max_bytes=4_096).is_nothing


def test_the_file_shrinks(bus: EventBus) -> None:
    publish(bus, "a.b", 1_500, text="x" * 2_000)
    age(bus)
    bus.log.between_commits(lambda conn: None)
    run(bus, "")  # folds the write-ahead log into the file
    before = file_bytes(bus.log.path)
    assert before > 3_000_000
    run(bus, KEEP)
    publish(bus, "a.b", 1)
    run(bus, KEEP)
    assert file_bytes(bus.log.path) < before / 4


@settings(max_examples=25, deadline=None)
@given(
    st.lists(events, max_size=40),
    st.lists(st.integers(0, 60), min_size=3, max_size=3),
    st.integers(0, 2**32),
)
def test_read_models_are_rebuilt_exactly_from_what_is_left(
    history: list[dict[str, Any]], marks: list[int], seed: int
) -> None:
    chance = random.Random(seed)
    with pytest.MonkeyPatch.context() as patch, open_bus("sqlite://") as bus:
        handlers = install(bus, SETTINGS)
        flaky(patch, chance)
        for event in history:
            event["data"]["is_hopeless"] = chance.random() < 0.1
        half = len(history) // 2
        rules = "queue.* keep 10d; evaluation.* keep 20d payload 5d; # keep 30d payload 10d"
        for part in (history[:half], history[half:]):
            bus.publish_many(part)
            decide(bus, handlers.alerts.list().items, chance)
            bounds = sorted(chance.randrange(bus.log.last_sequence + 2) for _ in range(3))
            age(bus, lambda n, bounds=bounds: 40.0 - 12 * sum(n > b for b in bounds))  # type: ignore[misc]
            run(bus, rules)  # in the middle of it
            assert check(bus) == []
            settle(bus)
            run(bus, rules)
        patch.undo()
        assert check(bus) == []
        live = tables(bus)
        sabotage(bus)
        rebuild(bus, SETTINGS).run()
        assert tables(bus) == live and check(bus) == []
