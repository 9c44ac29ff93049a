"""Migrations make the tables that the code expects, and every query finds its index."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any

import pytest
from sqlalchemy import Connection, create_engine, event, inspect

from eventbus import Event, EventBus, Pattern
from handlers import Handlers, HandlerSettings, install
from handlers.alert import AlertHandler
from handlers.evaluation import EvaluationHandler, EvaluationQuery, InboxSelection
from handlers.evaluation.listing import SORTS
from handlers.migrations import COUNTERS, MIGRATIONS
from handlers.monitoring import MonitoringHandler
from handlers.queue import QueueHandler
from handlers.storage import StorageHandler
from handlers.tables import metadata
from tests.helpers.bus import open_bus
from tests.helpers.databases import fresh_url


def shape(conn: Connection) -> dict[str, Any]:
    """Columns, keys and indexes of every table, as the database tells them."""
    looker = inspect(conn)
    return {
        name: {
            "columns": [
                (column["name"], str(column["type"]), column["nullable"])
                for column in looker.get_columns(name)
            ],
            "key": looker.get_pk_constraint(name)["constrained_columns"],
            "unique": [each["column_names"] for each in looker.get_unique_constraints(name)],
            "indexes": sorted(
                (str(each["name"]), tuple(each["column_names"]))
                for each in looker.get_indexes(name)
                if not str(each["name"]).startswith("sqlite_")
            ),
        }
        for name in looker.get_table_names()
    }


def test_the_migrations_make_exactly_the_tables_of_the_code() -> None:
    migrated, current = create_engine("sqlite://"), create_engine("sqlite://")
    with migrated.begin() as conn:
        for migration in MIGRATIONS:
            migration(conn)
        found = shape(conn)
        names = {name for (name,) in conn.exec_driver_sql("SELECT name FROM handler_counters")}
    with current.begin() as conn:
        metadata.create_all(conn)
        assert shape(conn) == found
    assert names == set(COUNTERS)


def test_the_inbox_of_before_gets_the_class_of_each_error() -> None:
    engine = create_engine("sqlite://")
    added = [each.__name__ for each in MIGRATIONS].index("_add_inbox_error_class")
    with engine.begin() as conn:
        for migration in MIGRATIONS[:added]:
            migration(conn)
        for number, error in enumerate(['{"type":"KeyError"}', '"TimeoutError: 3 s"', None]):
            conn.exec_driver_sql(
                "INSERT INTO evaluation_inbox (sequence, eval_id, opened_at, failed_at, attempt,"
                " error) VALUES (?, 'e', 0, 0, 1, ?)", (number + 1, error),
            )  # fmt: skip
        MIGRATIONS[added](conn)
        found = conn.exec_driver_sql("SELECT error_class FROM evaluation_inbox ORDER BY sequence")
        assert [row[0] for row in found] == ["KeyError", "TimeoutError", "unknown"]


def test_they_make_the_same_tables_in_postgresql() -> None:
    def without_types(found: dict[str, Any]) -> dict[str, Any]:
        for table in found.values():
            table["columns"] = [(name, nullable) for name, _, nullable in table["columns"]]
            table["unique"] = sorted(table["unique"])
            unique = {tuple(columns) for columns in table["unique"]}  # PostgreSQL tells them twice
            table["indexes"] = [each for each in table["indexes"] if each[1] not in unique]
        return {name: found[name] for name in metadata.tables}

    engine = create_engine("sqlite://")
    with engine.begin() as conn:
        metadata.create_all(conn)
        expected = without_types(shape(conn))
    with fresh_url("postgresql") as url, open_bus(url) as bus:
        install(bus)
        with bus.log.reading() as conn:
            found = without_types(shape(conn))
    assert found == expected


@contextmanager
def plans(bus: EventBus) -> Iterator[list[str]]:
    """The query plan of every statement that is executed on a reading connection meanwhile."""
    found: list[str] = []
    with bus.log.reading() as conn:
        engine = conn.engine

    def explain(conn: Any, cursor: Any, statement: str, parameters: Any, *_: Any) -> None:
        if statement.startswith("SELECT"):
            rows = cursor.connection.execute(f"EXPLAIN QUERY PLAN {statement}", parameters)
            found.extend(f"{row[3]} <- {statement}" for row in rows)

    event.listen(engine, "before_cursor_execute", explain)
    try:
        yield found
    finally:
        event.remove(engine, "before_cursor_execute", explain)


@pytest.mark.sqlite
def test_no_question_scans_a_table_that_grows(bus: EventBus, handlers: Handlers) -> None:
    now = datetime.now(UTC)
    with plans(bus) as found:
        handlers.counters()
        handlers.check(now)
        handlers.evaluations.get("e")
        handlers.evaluations.active()
        handlers.evaluations.result("e")
        handlers.evaluations.names()
        handlers.evaluations.search(EvaluationQuery(task="t"))
        handlers.evaluations.search(EvaluationQuery(model="m"))
        handlers.evaluations.recent_durations("t", 10)
        handlers.evaluations.recent_durations(None, 10)
        handlers.alerts.get("a")
        handlers.alerts.open()
        for state in ("open", "resolved"):
            handlers.alerts.list(state)  # type: ignore[arg-type]
            handlers.alerts.list(state, severity="critical")  # type: ignore[arg-type]
        handlers.alerts.list(severity="warning")
        handlers.alerts.list(is_quiet=True)
        handlers.alerts.list("open", is_quiet=True, severity="warning")
        handlers.alerts.counts()
        handlers.alerts.rhythm(["a", "b"], now, 48, 3)
        handlers.alerts.history("a")
        handlers.alerts.occurrences("a")
        handlers.files.list("e")
        handlers.files.totals("e")
        handlers.metrics.get("m")
        handlers.metrics.list("gpu.")
        handlers.metrics.history("m")
        handlers.inbox.open_count()
        handlers.inbox.open()
        handlers.inbox.open(error_class="KeyError")
        handlers.inbox.error_classes()
        handlers.inbox.last()
        everything = InboxSelection(error_class="KeyError", until=7)
        handlers.inbox.count(everything, can_be_retried=True)
        handlers.inbox.select(everything, 10, 3, can_be_retried=True)
        handlers.inbox.select(InboxSelection(("a", "b")), 10)
        handlers.inbox.closed()
        handlers.inbox.decided(7)
        handlers.inbox.outcomes(7)
    ours = [plan for plan in found if "deliveries" not in plan]
    quiet = [plan for plan in ours if "last_seen <" in plan]
    assert len(quiet) == 2 and all("INDEX ix_alerts_quiet" in plan for plan in quiet)
    assert len(ours) > 15
    # A dozen counters, what a sub-query has bounded before, and what is open are walked as a whole.
    small = (
        "SCAN handler_counters", "SCAN anon_1", "SCAN dead_letters", "SCAN evaluation_inbox USING",
        "SCAN alerts USING INDEX ix_alerts_quiet",
    )  # fmt: skip
    scans = [plan for plan in ours if plan.startswith("SCAN") and not plan.startswith(small)]
    assert scans == []
    # Sorting is only for the handful of rows that need somebody.
    few = ("is_open", "GROUP BY evaluation_inbox.error_class", "GROUP BY evaluations.state")
    sorts = [plan for plan in ours if "TEMP B-TREE" in plan and not any(f in plan for f in few)]
    assert sorts == []


@pytest.mark.sqlite
def test_lists_of_everything_walk_an_index_in_its_order(bus: EventBus, handlers: Handlers) -> None:
    with plans(bus) as found:
        handlers.evaluations.list()
        handlers.evaluations.search(EvaluationQuery(sort="eval_id"))
        handlers.alerts.list()
        handlers.queues.list()
        handlers.metrics.list()
    assert not [plan for plan in found if "TEMP B-TREE" in plan]


@pytest.mark.sqlite
def test_every_other_list_of_evaluations_is_one_walk_of_the_index_made_for_it(
    bus: EventBus, handlers: Handlers
) -> None:
    with plans(bus) as found:
        for sort in SORTS[2:]:
            handlers.evaluations.search(EvaluationQuery(state="active", model="m", sort=sort))
        handlers.evaluations.count_by_state(EvaluationQuery(model="m"))
    walks = [plan for plan in found if "evaluations" in plan.split("<-")[0]]
    assert len(walks) == len(SORTS) - 1
    assert not [plan for plan in walks if "ix_evaluations_list" not in plan]


@pytest.mark.sqlite
def test_the_questions_about_one_queue_use_its_partial_indexes(
    bus: EventBus, handlers: Handlers
) -> None:
    bus.publish("queue.task.added", {"task_id": "a"})
    bus.publish("queue.task.added", {"task_id": "b"})
    bus.publish("queue.task.processed", {"task_id": "b"})
    assert bus.drain(20)
    with plans(bus) as found:
        assert handlers.queues.get("default") is not None
    used = " ".join(found)
    assert "ix_queue_tasks_waiting" in used and "ix_queue_tasks_left" in used
    assert not [plan for plan in found if plan.startswith("SCAN") or "TEMP B-TREE" in plan]


def test_no_statement_of_a_commit_reads_a_table_that_grows() -> None:
    engine = create_engine("sqlite://")
    found: list[str] = []

    def explain(
        conn: Any, cursor: Any, statement: str, parameters: Any, _: Any, many: bool
    ) -> None:
        given = parameters[0] if many else parameters
        if statement.startswith(("SELECT", "UPDATE", "DELETE")):
            rows = cursor.connection.execute(f"EXPLAIN QUERY PLAN {statement}", given)
            found.extend(f"{row[3]} <- {statement}" for row in rows)

    with engine.begin() as conn:
        for migration in MIGRATIONS:
            migration(conn)
    event.listen(engine, "before_cursor_execute", explain)
    with engine.begin() as conn:
        for sequence, (type, data) in enumerate(EVENTS * 3, 1):
            apply(conn, Event.create(type, data).evolve(sequence=sequence))
    scans = [plan for plan in found if plan.startswith("SCAN")]
    assert scans == [] and len(found) > 20


EVENTS = [
    ("evaluation.started", {"eval_id": "e"}),
    ("evaluation.completed", {"eval_id": "e"}),
    ("queue.task.added", {"task_id": "t"}),
    ("queue.task.processed", {"task_id": "t"}),
    ("alert.critical", {"error": "x"}),
    ("storage.file.created", {"path": "p"}),
    ("monitoring.metric.incremented", {"metric": "m"}),
    ("monitoring.metric.recorded", {"metric": "m", "value": 1}),
]


def apply(conn: Connection, event: Event) -> None:
    """What the handler of this event does at its commit."""
    bus = _OneConnection(conn)
    kinds = (EvaluationHandler, QueueHandler, MonitoringHandler, StorageHandler, AlertHandler)
    handler = next(kind for kind in kinds if Pattern(kind.pattern).matches(event.type))
    asyncio.run(handler(bus, HandlerSettings()).handle(event))  # type: ignore[arg-type]
    for change, params in bus.effects:
        change(conn, [params])


class _OneConnection:
    """As much of a bus as a handler needs, on one connection."""

    def __init__(self, conn: Connection) -> None:
        self._conn = conn
        self.effects: list[tuple[Any, Any]] = []
        self.log = self

    @contextmanager
    def reading(self) -> Iterator[Connection]:
        yield self._conn

    def effect(self, apply: Any, params: Any) -> None:
        self.effects.append((apply, params))

    def publish(self, type: str, data: Any, **attributes: Any) -> None:
        Event.create(type, data)
