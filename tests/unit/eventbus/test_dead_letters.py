"""The kept counts of dead letters: always what counting them would give, and quick to read."""

from __future__ import annotations

from collections import Counter
from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import Connection, text
from sqlalchemy import event as sqlalchemy_event
from sqlalchemy.engine import Engine

from eventbus import Event, EventBus, Pattern
from eventbus.log import EventLog, Operation, Selection, migrations, schema
from eventbus.timestamps import to_microseconds
from tests.helpers.bus import LONG_S, Failing, open_bus
from tests.helpers.waiting import wait_until

COUNTED = text(
    "SELECT s.name, e.type, d.error_class, count(*) FROM deliveries d "
    "JOIN events e ON e.sequence = d.sequence JOIN subscriptions s ON s.id = d.subscription "
    "WHERE d.state = 'dead' GROUP BY 1, 2, 3"
)


def kept(log: EventLog) -> Counter[tuple[str, str, str]]:
    return Counter(
        {(c.subscription, c.type, c.error_class): c.count for c in log.dead_letters.counts()}
    )


def counted(log: EventLog) -> Counter[tuple[str, str, str]]:
    with log.reading() as conn:
        return Counter({tuple(row[:3]): row[3] for row in conn.execute(COUNTED)})


def fail_by_type(event: Event) -> None:
    raise {"a.x": ValueError, "a.y": KeyError}[event.type]("no")


def test_the_counts_follow_deaths_redrives_discards_and_unsubscribing(url: str) -> None:
    with open_bus(url) as bus:
        for name in ("one", "two"):
            bus.subscribe("a.*", fail_by_type, name=name, max_attempts=1)
        for number in range(12):
            bus.publish(["a.x", "a.y"][number % 2])
        wait_until(lambda: bus.log.dead_letters.total() == 24, "all are dead", LONG_S)
        assert kept(bus.log) == counted(bus.log)
        assert kept(bus.log)[("one", "a.x", "ValueError")] == 6

        again = bus.operations.redrive(Selection(subscription="one", error_class="KeyError"), "ann")
        assert again.total == 6
        assert bus.operations.wait(again.id, LONG_S)
        wait_until(lambda: bus.log.dead_letters.total() == 24, "they died again", LONG_S)
        gone = bus.operations.discard(Selection(pattern=Pattern("a.x")), "ann", "not needed")
        assert bus.operations.wait(gone.id, LONG_S)
        assert kept(bus.log) == counted(bus.log)
        assert bus.log.dead_letters.total() == 12
        bus.unsubscribe("two")
        assert [c.is_removed for c in bus.log.dead_letters.counts(Selection(subscription="two"))]
    with open_bus(url) as bus:  # they are in the database
        assert kept(bus.log) == counted(bus.log)
        assert bus.log.delivery_counts()["dead"] == 12


def test_it_can_be_told_how_many_there_were_at_any_time(bus: EventBus) -> None:
    is_broken = {"a.x": True, "a.y": True}
    told: list[tuple[int, int]] = []

    def handle(event: Event) -> None:
        if is_broken[event.type]:
            raise ValueError("broken")

    def remember(count: int) -> None:
        assert bus.drain(LONG_S)
        assert bus.log.dead_letters.total() == count
        told.append((to_microseconds(bus.now()), count))

    def done(operation: Operation) -> None:
        assert bus.operations.wait(operation.id, LONG_S)

    remember(0)
    bus.subscribe("a.*", handle, name="one", max_attempts=1)
    bus.publish_many({"type": ["a.x", "a.y"][number % 2]} for number in range(12))
    remember(12)
    is_broken["a.x"] = False
    done(bus.operations.redrive(Selection(), "ann"))  # half of them die again
    remember(6)
    some = Selection(deliveries=((2, "one"), (4, "one")))
    done(bus.operations.discard(some, "ann", "not needed"))
    remember(4)
    is_broken["a.y"] = False
    last = bus.operations.redrive(Selection(deliveries=((6, "one"),)), "ann")
    done(last)
    bus.unsubscribe("one")
    remember(3)
    assert [bus.log.dead_letters.total_at(at_us) for at_us, _ in told] == [n for _, n in told]

    def forget(conn: Connection) -> None:  # as retention does with an event
        gone = schema.interventions
        conn.execute(gone.delete().where(gone.c.sequence == 6, gone.c.operation == last.id))

    bus.log.between_commits(forget)
    counts = [bus.log.dead_letters.total_at(at_us) for at_us, _ in told]
    assert counts == [None, None, None, None, 3]


def test_a_database_of_before_the_counts_gets_them_from_its_dead_letters(url: str) -> None:
    with open_bus(url) as bus:
        bus.subscribe("#", Failing(), name="one", max_attempts=1)
        bus.publish("a").deliveries(LONG_S)
    log = EventLog(url)

    def of_before(conn: Connection) -> None:
        conn.execute(text("DROP TABLE dead_letters"))
        migrations._count_dead_letters(conn)

    log.between_commits(of_before)
    log.close()
    log = EventLog(url)
    try:
        assert log.dead_letters.total() == 1
        assert kept(log) == counted(log)
        assert log.dead_letters.newest_us() > 0
    finally:
        log.close()


def test_a_count_of_what_died_before_a_moment_does_not_trust_the_kept_ones(bus: EventBus) -> None:
    bus.subscribe("#", Failing(), name="one", max_attempts=1)
    bus.publish("a").deliveries(LONG_S)
    now = datetime.now(UTC)
    late_us = int((now + timedelta(hours=1)).timestamp() * 1e6)
    assert bus.log.delivery_lists.count(Selection(), late_us) == {"one": 1}
    assert bus.log.delivery_lists.count(Selection(), 1) == {}
    assert bus.log.delivery_lists.count(Selection(since=now), late_us) == {}


@pytest.mark.sqlite
def test_the_attempts_of_a_page_are_looked_up_and_not_searched_for(bus: EventBus) -> None:
    bus.subscribe("#", Failing(), name="one", max_attempts=1)
    bus.publish("a").deliveries(LONG_S)
    seen: list[tuple[str, object]] = []

    def note(conn, cursor, statement, parameters, context, many) -> None:  # type: ignore[no-untyped-def]
        if "FROM attempts" in statement or "FROM interventions" in statement:
            seen.append((statement, parameters))

    sqlalchemy_event.listen(Engine, "before_cursor_execute", note)
    try:
        bus.log.list_deliveries("dead")
    finally:
        sqlalchemy_event.remove(Engine, "before_cursor_execute", note)
    assert len(seen) == 2
    with bus.log.reading() as conn:
        for statement, parameters in seen:
            plan = conn.exec_driver_sql(f"EXPLAIN QUERY PLAN {statement}", parameters).all()
            assert "SCAN attempts" not in str(plan) and "SCAN interventions" not in str(plan)
