"""Migrations: numbered, once each, whole or not at all, and never backwards."""

from __future__ import annotations

import pytest
from sqlalchemy import Connection, inspect, text
from sqlalchemy.exc import OperationalError

from eventbus import Pattern
from eventbus.errors import SchemaError
from eventbus.log import EventLog, schema
from eventbus.log.migrations import LOG_MIGRATIONS, migrate
from eventbus.log.sqlite import SqliteDatabase

pytestmark = pytest.mark.sqlite


def create(table: str) -> object:
    def migration(conn: Connection) -> None:
        conn.execute(text(f"CREATE TABLE {table} (n INTEGER)"))

    return migration


def tables(log: EventLog) -> set[str]:
    with log.reading() as conn:
        return set(inspect(conn).get_table_names())


def version(log: EventLog, component: str) -> int | None:
    with log.reading() as conn:
        return conn.execute(
            text("SELECT version FROM schema_versions WHERE component = :component"),
            {"component": component},
        ).scalar()


def test_each_migration_runs_once_and_in_order(log: EventLog) -> None:
    log.migrate("mine", [create("one")])
    assert version(log, "mine") == 1
    # A CREATE TABLE that ran a second time would fail.
    log.migrate("mine", [create("one"), create("two"), create("three")])
    assert version(log, "mine") == 3
    assert {"one", "two", "three"} <= tables(log)
    log.migrate("mine", [create("one"), create("two"), create("three")])


def test_components_have_versions_of_their_own(log: EventLog) -> None:
    log.migrate("mine", [create("one")])
    log.migrate("yours", [create("two"), create("three")])
    assert (version(log, "mine"), version(log, "yours")) == (1, 2)


def test_a_migration_that_fails_leaves_nothing_of_itself(log: EventLog) -> None:
    def fails(conn: Connection) -> None:
        create("half")(conn)  # type: ignore[operator]
        conn.execute(text("THIS IS NOT SQL"))

    with pytest.raises(OperationalError):
        log.migrate("mine", [create("one"), fails, create("three")])
    assert version(log, "mine") == 1
    assert "one" in tables(log)
    assert tables(log).isdisjoint({"half", "three"})
    log.migrate("mine", [create("one"), create("two"), create("three")])
    assert version(log, "mine") == 3


def test_a_database_of_newer_software_is_refused(url: str) -> None:
    log = EventLog(url)
    log.start(lambda recorded, batch: None)
    with pytest.raises(SchemaError, match="mine schema has version 2, this software knows"):
        log.migrate("mine", [create("one"), create("two")])
        log.migrate("mine", [create("one")])
    log.close()


def test_a_log_of_newer_software_does_not_open_and_is_left_as_it_is(url: str) -> None:
    log = EventLog(url)
    log.start(lambda recorded, batch: None)
    log.migrate("log", [create(f"t{number}") for number in range(len(LOG_MIGRATIONS) + 1)])
    log.close()
    for _ in range(2):  # the lock is given back, too
        with pytest.raises(SchemaError, match="start the newer software or restore a backup"):
            EventLog(url)


def test_the_migrations_lead_to_the_tables_that_the_code_uses(log: EventLog) -> None:
    with log.reading() as conn:
        found = inspect(conn)
        for table in schema.metadata.tables.values():
            columns = found.get_columns(table.name)
            assert [c["name"] for c in columns] == [c.name for c in table.columns]
            assert [bool(c["nullable"]) for c in columns] == [
                bool(c.nullable) for c in table.columns
            ]
            indexes = {index["name"] for index in found.get_indexes(table.name)}
            assert {index.name for index in table.indexes} <= indexes


@pytest.mark.parametrize(
    ("query", "index"),
    [
        ("SELECT * FROM events WHERE id = 'x'", "sqlite_autoindex_events_1"),
        ("SELECT * FROM events WHERE type = 'x' ORDER BY sequence DESC", "ix_events_type"),
        ("SELECT * FROM events WHERE subject = 'x' ORDER BY sequence DESC", "ix_events_subject"),
        (
            "SELECT min(sequence), max(sequence) FROM events WHERE time_us > 5",
            "COVERING INDEX ix_events_time",
        ),
        (
            "SELECT * FROM events WHERE correlationid = 'x' AND correlationid != id",
            "ix_events_correlation",
        ),
        (
            "SELECT sequence FROM deliveries WHERE subscription = 1 AND state = 'pending' "
            "AND state != 'succeeded' ORDER BY sequence",
            "ix_deliveries_unfinished",
        ),
    ],
)
def test_the_indexes_serve_what_they_are_for(log: EventLog, query: str, index: str) -> None:
    with log.reading() as conn:
        plan = " / ".join(row.detail for row in conn.execute(text(f"EXPLAIN QUERY PLAN {query}")))
    assert index in plan
    assert "TEMP B-TREE" not in plan


@pytest.mark.parametrize("version", range(1, len(LOG_MIGRATIONS)))
def test_a_log_of_every_earlier_version_becomes_one_of_now(url: str, version: int) -> None:
    database = SqliteDatabase(url)
    migrate(database.writer, "log", LOG_MIGRATIONS[:version])
    with database.writer.begin():
        database.writer.execute(text(
            "INSERT INTO subscriptions (id, name, pattern, created_us, since_sequence) "
            "VALUES (1, 'mine', 'a.b', 0, 0)"
        ))  # fmt: skip
    database.close()
    log = EventLog(url)
    try:
        with log.reading() as conn:
            for table in schema.metadata.tables.values():
                conn.execute(table.select().limit(1))  # all its columns are there
        assert log.removed_upto == 0
        assert log.newest_removed(Pattern("#"), 0) is None
        assert [(known.name, known.pause) for known in log.subscribers()] == [("mine", None)]
    finally:
        log.close()
