"""Listing deliveries by state and condition, and what becomes of dead letters nobody serves."""

from __future__ import annotations

from datetime import timedelta
from itertools import product
from typing import Any

import pytest
from sqlalchemy import inspect, text

from eventbus import Event, EventBus, Pattern
from eventbus.log import EventLog, Selection, delivery_lists
from eventbus.log.migrations import LOG_MIGRATIONS, migrate
from tests.helpers.bus import LONG_S, Failing, Recorder, open_bus
from tests.helpers.waiting import wait_until


def all_pages(
    bus: EventBus, limit: int, state: Any = "dead", **conditions: Any
) -> list[tuple[int, str]]:
    found: list[tuple[int, str]] = []
    cursor: str | None = None
    while True:
        page = bus.log.list_deliveries(state, limit, cursor, Selection(**conditions))
        assert len(page.deliveries) <= limit
        found += [(d.sequence, d.subscription) for d in page.deliveries]
        cursor = page.next
        if cursor is None:
            return found


def fail_by_type(event: Event) -> None:
    raise {"a.x": ValueError, "a.y": KeyError, "b": RuntimeError}[event.type]("no")


@pytest.fixture
def dead(bus: EventBus) -> EventBus:
    """Thirty dead letters: events 1 to 15 of three types at two subscriptions."""
    for name in ("one", "two"):
        bus.subscribe("#", fail_by_type, name=name, max_attempts=1, key=lambda event: "same")
    for number in range(15):
        bus.publish(["a.x", "a.y", "b"][number % 3])
    wait_until(lambda: bus.log.delivery_counts()["dead"] == 30, "all are dead", LONG_S)
    return bus


@pytest.mark.parametrize("limit", [1, 4, 50])
@pytest.mark.parametrize("scanned", [1, 3, 50_000])
def test_a_list_by_conditions_is_complete_however_small_its_steps(
    dead: EventBus, limit: int, scanned: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(delivery_lists, "_MOST_SCANNED", scanned)
    monkeypatch.setattr(delivery_lists, "_LEAST_SCANNED", 1)
    everything = list(product(range(15, 0, -1), ["one", "two"]))
    assert all_pages(dead, limit) == everything
    assert all_pages(dead, limit, subscription="two") == [e for e in everything if e[1] == "two"]
    by_type = all_pages(dead, limit, pattern=Pattern("a.*"))
    assert by_type == [e for e in everything if e[0] % 3 != 0]
    by_class = all_pages(dead, limit, error_class="KeyError", subscription="one")
    assert by_class == [e for e in everything if e[0] % 3 == 2 and e[1] == "one"]
    assert all_pages(dead, limit, subscription="three") == []


def test_dead_letters_are_found_by_when_they_died(dead: EventBus) -> None:
    ends = {d.sequence: d.finished_at for d in dead.log.list_deliveries("dead").deliveries}
    middle = ends[8]
    assert middle is not None
    late = all_pages(dead, 50, since=middle, subscription="one")
    early = all_pages(dead, 50, until=middle, subscription="one")
    assert [sequence for sequence, _ in late + early] == list(range(15, 0, -1))
    assert all_pages(dead, 50, since=middle + timedelta(hours=1)) == []


def test_counting_and_walking_select_the_same_whatever_the_step(
    dead: EventBus, monkeypatch: pytest.MonkeyPatch
) -> None:
    lists, forever = dead.log.delivery_lists, 2**62
    for step in (1, 2, 7, 1_000):
        monkeypatch.setattr(delivery_lists, "_STEP", step)
        assert lists.count(Selection(), forever) == {"one": 15, "two": 15}
        assert lists.count(Selection(pattern=Pattern("b")), forever) == {"one": 5, "two": 5}
        named = Selection(deliveries=((3, "one"), (4, "one"), (99, "one"), (3, "nobody")))
        assert lists.count(named, forever) == {"one": 2}
        assert lists.count(Selection(), 0) == {}


@pytest.mark.sqlite  # whose plan does not depend on how many rows there are
@pytest.mark.parametrize("state", ["dead", "pending"])
def test_the_index_serves_a_search_by_conditions(dead: EventBus, state: str) -> None:
    with dead.log.reading() as conn:
        plan = " / ".join(
            row.detail
            for row in conn.execute(
                text(
                    "EXPLAIN QUERY PLAN SELECT d.sequence FROM (SELECT sequence, subscription FROM "
                    f"deliveries WHERE subscription = 1 AND state = '{state}' AND "
                    "state != 'succeeded' AND sequence < 99 ORDER BY sequence DESC LIMIT 9) w "
                    "JOIN deliveries d ON d.sequence = w.sequence AND "
                    "d.subscription = w.subscription WHERE d.error_class = 'x'"
                )
            )
        )
    assert "COVERING INDEX ix_deliveries_unfinished" in plan
    assert "SEARCH d USING PRIMARY KEY" in plan


# -- unsubscribing ------------------------------------------------------------------------------


def test_dead_letters_outlive_their_subscription(url: str) -> None:
    with open_bus(url) as bus:
        bus.subscribe("a", Failing(), name="mine", max_attempts=1)
        bus.publish("a").deliveries(LONG_S)
        bus.unsubscribe("mine")
    with open_bus(url) as bus:
        (letter,) = bus.log.list_deliveries("dead").deliveries
        assert (letter.subscription, letter.is_removed, letter.state) == ("mine", True, "dead")
        assert bus.log.delivery_counts()["dead"] == 1
        assert bus.subscriptions() == []


def test_who_subscribes_again_under_the_name_has_the_dead_letters_back(bus: EventBus) -> None:
    bus.subscribe("a", Failing(), name="mine", max_attempts=1)
    bus.publish("a").deliveries(LONG_S)
    bus.unsubscribe("mine")
    bus.publish("a")  # while nobody was subscribed
    handler = Recorder()
    bus.subscribe("a", handler, name="mine")
    bus.publish("a")
    assert bus.drain(LONG_S)
    assert [event.sequence for event in handler.events] == [3]
    (stats,) = bus.subscriptions()
    assert (stats.name, stats.dead) == ("mine", 1)
    assert not bus.log.list_deliveries("dead").deliveries[0].is_removed


def test_a_log_of_the_second_version_keeps_its_subscriptions(url: str) -> None:
    log = EventLog(url)
    conn = log._database.writer
    with conn.begin():
        for table in inspect(conn).get_table_names():
            conn.exec_driver_sql(f"DROP TABLE {table}")
    migrate(conn, "log", LOG_MIGRATIONS[:2])
    with conn.begin():
        conn.exec_driver_sql("INSERT INTO subscriptions VALUES (4, 'kept', 'a', 0, 0)")
        conn.exec_driver_sql(
            "INSERT INTO events (sequence, id, source, type, subject, time_us, recorded_us, "
            "correlationid, depth, data) VALUES (1, 'x', '/s', 'a', 'a', 0, 0, 'x', 0, '{}')"
        )
        conn.exec_driver_sql(
            "INSERT INTO deliveries (sequence, subscription, state, attempt) "
            "VALUES (1, 4, 'dead', 5)"
        )
    log.close()
    with open_bus(url) as bus:
        assert {s.name: s.id for s in bus.log.subscribers()} == {"kept": 4}
        assert bus.log.delivery_counts() == {"pending": 0, "retrying": 0, "dead": 1}


# -- event loops --------------------------------------------------------------------------------


def test_a_dead_letter_of_an_event_loop_shows_its_chain(bus: EventBus) -> None:
    bus.subscribe("ping", lambda event: bus.publish("pong"), name="ping")
    bus.subscribe("pong", lambda event: bus.publish("ping"), name="pong")
    bus.publish("ping")
    wait_until(lambda: bus.log.delivery_counts()["dead"] == 1, "the loop was found", LONG_S)
    (listed,) = bus.log.list_deliveries("dead").deliveries
    assert listed.error_class == "EventLoopError"
    assert "ping would be number 33" not in (listed.error_message or "")
    assert "pong would be number 33" in (listed.error_message or "")
    assert "caused by ping" in (listed.error_message or "")
    (letter,) = bus.log.deliveries(listed.sequence)
    assert letter.chain is not None
    assert [link.type for link in letter.chain] == ["ping", "pong"] * 16 + ["ping"]
    assert [link.sequence for link in letter.chain] == list(range(1, 34))
