"""Numbered, forward-only schema migrations; each runs once, in a transaction of its own."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from sqlalchemy import Connection, select, text

from eventbus.errors import SchemaError
from eventbus.log import ddl, schema
from eventbus.log.upsert import upsert

Migration = Callable[[Connection], None]


def _create_log(conn: Connection) -> None:
    # Spelled out, not taken from ``schema``: a migration must do tomorrow what it did the day
    # it was released, whatever the current tables look like by then.
    for statement in (
        """CREATE TABLE events (
            sequence INTEGER NOT NULL PRIMARY KEY, id TEXT NOT NULL, source TEXT NOT NULL,
            type TEXT NOT NULL, subject TEXT NOT NULL, time_us BIGINT NOT NULL,
            recorded_us BIGINT NOT NULL, correlationid TEXT NOT NULL, causationid TEXT,
            traceparent TEXT, dataschema TEXT, depth INTEGER NOT NULL, data TEXT NOT NULL,
            CONSTRAINT uq_events_id_source UNIQUE (id, source))""",
        "CREATE INDEX ix_events_type ON events (type)",
        "CREATE INDEX ix_events_subject ON events (subject)",
        "CREATE INDEX ix_events_time ON events (time_us)",
        "CREATE INDEX ix_events_correlation ON events (correlationid) WHERE correlationid != id",
        """CREATE TABLE subscriptions (
            id INTEGER NOT NULL PRIMARY KEY, name TEXT NOT NULL UNIQUE, pattern TEXT NOT NULL,
            created_us BIGINT NOT NULL, since_sequence BIGINT NOT NULL)""",
        """CREATE TABLE deliveries (
            sequence BIGINT NOT NULL, subscription INTEGER NOT NULL, state TEXT NOT NULL,
            attempt INTEGER NOT NULL, due_us BIGINT, finished_us BIGINT, duration_us BIGINT,
            error_class TEXT, error_message TEXT,
            PRIMARY KEY (sequence, subscription)) WITHOUT ROWID""",
        """CREATE INDEX ix_deliveries_unfinished ON deliveries (subscription, state, sequence)
            WHERE state != 'succeeded'""",
        """CREATE TABLE attempts (
            sequence BIGINT NOT NULL, subscription INTEGER NOT NULL, number INTEGER NOT NULL,
            started_us BIGINT NOT NULL, duration_us BIGINT NOT NULL, outcome TEXT NOT NULL,
            error_class TEXT, error_message TEXT, traceback TEXT,
            PRIMARY KEY (sequence, subscription, number)) WITHOUT ROWID""",
        "CREATE INDEX ix_attempts_subscription ON attempts (subscription)",
    ):
        ddl.run(conn, statement)


def _never_reuse_subscription_ids(conn: Connection) -> None:
    if conn.dialect.name == "postgresql":
        return  # which never does
    for statement in (
        """CREATE TABLE new_subscriptions (
            id INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT, name TEXT NOT NULL UNIQUE,
            pattern TEXT NOT NULL, created_us BIGINT NOT NULL, since_sequence BIGINT NOT NULL)""",
        """INSERT INTO new_subscriptions (id, name, pattern, created_us, since_sequence)
            SELECT id, name, pattern, created_us, since_sequence FROM subscriptions""",
        "DROP TABLE subscriptions",
        "ALTER TABLE new_subscriptions RENAME TO subscriptions",
        # Ids of forgotten subscriptions that deliveries still bear are not given again either.
        "DELETE FROM sqlite_sequence WHERE name = 'subscriptions'",
        """INSERT INTO sqlite_sequence (name, seq) SELECT 'subscriptions', max(
            coalesce((SELECT max(id) FROM subscriptions), 0),
            coalesce((SELECT max(subscription) FROM attempts), 0),
            coalesce((SELECT max(subscription) FROM deliveries WHERE state != 'succeeded'), 0))""",
        """UPDATE deliveries SET state = 'cancelled'
            WHERE state IN ('pending', 'retrying', 'dead') AND state != 'succeeded'
            AND subscription NOT IN (SELECT id FROM subscriptions)""",
    ):
        ddl.run(conn, statement)


def _add_operations(conn: Connection) -> None:
    for statement in (
        "ALTER TABLE subscriptions ADD COLUMN removed_us BIGINT",
        """CREATE TABLE operations (
            id INTEGER NOT NULL PRIMARY KEY, kind TEXT NOT NULL, state TEXT NOT NULL,
            selection TEXT NOT NULL, requested_by TEXT NOT NULL, reason TEXT, rate FLOAT,
            total BIGINT NOT NULL, done BIGINT NOT NULL, skipped BIGINT NOT NULL,
            position BIGINT NOT NULL, started_us BIGINT NOT NULL, finished_us BIGINT,
            stopped_by TEXT, error TEXT, event_id TEXT NOT NULL)""",
        """CREATE TABLE interventions (
            sequence BIGINT NOT NULL, subscription INTEGER NOT NULL, number INTEGER NOT NULL,
            operation INTEGER NOT NULL, at_us BIGINT NOT NULL, state TEXT,
            attempt INTEGER NOT NULL, failures INTEGER NOT NULL, finished_us BIGINT,
            duration_us BIGINT,
            PRIMARY KEY (sequence, subscription, number)) WITHOUT ROWID""",
        "CREATE INDEX ix_interventions_operation ON interventions (operation)",
    ):
        ddl.run(conn, statement)


def _create_scheduled(conn: Connection) -> None:
    for statement in (
        """CREATE TABLE scheduled (
            number INTEGER NOT NULL PRIMARY KEY, due_us BIGINT NOT NULL, id TEXT NOT NULL,
            source TEXT NOT NULL, type TEXT NOT NULL, subject TEXT NOT NULL,
            time_us BIGINT NOT NULL, correlationid TEXT NOT NULL, causationid TEXT,
            traceparent TEXT, dataschema TEXT, depth INTEGER NOT NULL, data TEXT NOT NULL,
            CONSTRAINT uq_scheduled_id_source UNIQUE (id, source))""",
        "CREATE INDEX ix_scheduled_due ON scheduled (due_us)",
    ):
        ddl.run(conn, statement)


def _count_what_is_removed(conn: Connection) -> None:
    ddl.run(
        conn,
        """CREATE TABLE removals (
            type TEXT NOT NULL PRIMARY KEY, events BIGINT NOT NULL, payloads BIGINT NOT NULL,
            last_sequence BIGINT NOT NULL) WITHOUT ROWID""",
    )


def _tell_events_from_payloads(conn: Connection) -> None:
    ddl.run(conn, "ALTER TABLE removals ADD COLUMN events_upto BIGINT NOT NULL DEFAULT 0")


def _count_dead_letters(conn: Connection) -> None:
    for statement in (
        """CREATE TABLE dead_letters (
            subscription INTEGER NOT NULL, type TEXT NOT NULL, error_class TEXT NOT NULL,
            count BIGINT NOT NULL, newest_us BIGINT NOT NULL,
            PRIMARY KEY (subscription, type, error_class)) WITHOUT ROWID""",
        # ix_deliveries_unfinished by subscription
        """INSERT INTO dead_letters (subscription, type, error_class, count, newest_us)
            SELECT d.subscription, e.type, coalesce(d.error_class, ''), count(*),
                coalesce(max(d.finished_us), 0)
            FROM subscriptions AS s
            JOIN deliveries AS d
                ON d.subscription = s.id AND d.state = 'dead' AND d.state != 'succeeded'
            JOIN events AS e ON e.sequence = d.sequence
            GROUP BY d.subscription, e.type, coalesce(d.error_class, '')""",
    ):
        ddl.run(conn, statement)


def _let_subscriptions_be_paused(conn: Connection) -> None:
    for column in ("paused_us BIGINT", "paused_by TEXT", "pause_reason TEXT"):
        ddl.run(conn, f"ALTER TABLE subscriptions ADD COLUMN {column}")


def _count_what_flows(conn: Connection) -> None:
    for statement in (
        """CREATE TABLE flow_edges (
            id INTEGER NOT NULL PRIMARY KEY, type TEXT NOT NULL, subscription INTEGER NOT NULL,
            caused TEXT NOT NULL, last_s BIGINT NOT NULL,
            CONSTRAINT uq_flow_edges UNIQUE (type, subscription, caused))""",
        """CREATE TABLE flow_counts (
            length_s INTEGER NOT NULL, start_s BIGINT NOT NULL, edge INTEGER NOT NULL,
            measure INTEGER NOT NULL, count BIGINT NOT NULL,
            PRIMARY KEY (length_s, start_s, edge, measure)) WITHOUT ROWID""",
        """CREATE TABLE flow_positions (
            subscription INTEGER NOT NULL PRIMARY KEY, position BIGINT NOT NULL)""",
        """CREATE TABLE flow_open (
            sequence BIGINT NOT NULL, subscription INTEGER NOT NULL, attempts INTEGER NOT NULL,
            version INTEGER NOT NULL, PRIMARY KEY (sequence, subscription)) WITHOUT ROWID""",
    ):
        ddl.run(conn, statement)


def _keep_declarations(conn: Connection) -> None:
    ddl.run(
        conn,
        """CREATE TABLE declarations (
            type TEXT NOT NULL PRIMARY KEY, declaration TEXT NOT NULL, declared_us BIGINT NOT NULL,
            declared_by TEXT NOT NULL) WITHOUT ROWID""",
    )


def _share_the_head(conn: Connection) -> None:
    if conn.dialect.name == "sqlite":
        return  # where one process writes
    ddl.run(
        conn,
        """CREATE TABLE log_head (
            last_sequence BIGINT NOT NULL, subscriptions BIGINT NOT NULL)""",
        """INSERT INTO log_head (last_sequence, subscriptions)
            SELECT coalesce(max(sequence), 0), 0 FROM events""",
    )


def _tell_what_is_in_flight(conn: Connection) -> None:
    if conn.dialect.name == "sqlite":
        return  # where one process handles, and keeps it in a file of its own
    ddl.run(
        conn,
        """CREATE UNLOGGED TABLE in_flight (
            process BIGINT NOT NULL PRIMARY KEY, server TEXT NOT NULL, told TEXT NOT NULL)
            WITH (fillfactor = 20)""",
    )


def _keep_extensions(conn: Connection) -> None:
    for table in ("events", "scheduled"):
        ddl.run(conn, f"ALTER TABLE {table} ADD COLUMN extensions TEXT")


LOG_MIGRATIONS: tuple[Migration, ...] = (
    _create_log,
    _never_reuse_subscription_ids,
    _add_operations,
    _create_scheduled,
    _count_what_is_removed,
    _tell_events_from_payloads,
    _count_dead_letters,
    _let_subscriptions_be_paused,
    _count_what_flows,
    _keep_declarations,
    _share_the_head,
    _tell_what_is_in_flight,
    _keep_extensions,
)


def migrate(conn: Connection, component: str, migrations: Sequence[Migration]) -> None:
    """Run the migrations that ``component`` has not had yet, each in a transaction.

    ``conn`` is the writer's connection, outside a transaction. Processes that start together take
    turns. Raises SchemaError when the database has had more migrations than are known here.
    """
    versions = schema.schema_versions
    while True:
        with conn.begin():
            if conn.dialect.name == "postgresql":  # SQLite's transaction has the lock by itself
                conn.execute(text("SELECT pg_advisory_xact_lock(hashtext(current_schema()))"))
            versions.create(conn, checkfirst=True)
            row = conn.execute(select(versions.c.version).where(versions.c.component == component))
            version = row.scalar() or 0
            if version == len(migrations):
                return
            if version > len(migrations):
                raise SchemaError(
                    f"the database's {component} schema has version {version}, this software "
                    f"knows versions up to {len(migrations)}: start the newer software or restore "
                    "a backup"
                )
            migrations[version](conn)
            mark = upsert(versions).values(component=component, version=version + 1)
            conn.execute(
                mark.on_conflict_do_update(
                    index_elements=["component"], set_={"version": version + 1}
                )
            )
