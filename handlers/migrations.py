"""Numbered, forward-only migrations of the read models' tables; the log runs the missing ones."""

from __future__ import annotations

from collections.abc import Callable

from sqlalchemy import Connection, text

from eventbus.log import ddl
from handlers.evaluation.inbox_table import error_class

_FIRST_COUNTERS = (
    "evaluation.active",
    "evaluation.completed",
    "evaluation.failed",
    "evaluation.retrying",
    "evaluation.exhausted",
    "evaluation.stalled",
    "evaluation.failures",
    "queue.depth",
    "alert.open",
)
COUNTERS = (*_FIRST_COUNTERS, "evaluation.cancelled")


def _create_read_models(conn: Connection) -> None:
    # Spelled out, not taken from the tables: a migration must do tomorrow what it did the day it
    # was released, whatever the current tables look like by then.
    for statement in (
        "CREATE TABLE handler_counters (name TEXT NOT NULL PRIMARY KEY, value BIGINT NOT NULL)"
        " WITHOUT ROWID",
        """CREATE TABLE evaluations (
            first_sequence INTEGER NOT NULL PRIMARY KEY, eval_id TEXT NOT NULL UNIQUE,
            state TEXT NOT NULL, attempt INTEGER NOT NULL, max_retries INTEGER NOT NULL,
            task TEXT, model TEXT, started_at BIGINT, attempt_started_at BIGINT,
            finished_at BIGINT, updated_at BIGINT NOT NULL, done BIGINT NOT NULL, total BIGINT,
            errors BIGINT NOT NULL, error TEXT, announced INTEGER NOT NULL,
            last_sequence BIGINT NOT NULL, failed_attempts TEXT NOT NULL)""",
        "CREATE INDEX ix_evaluations_state ON evaluations (state, first_sequence)",
        """CREATE INDEX ix_evaluations_durations ON evaluations (task, finished_at)
            WHERE state = 'completed'""",
        """CREATE TABLE evaluation_results (
            eval_id TEXT NOT NULL PRIMARY KEY, result TEXT NOT NULL, stored_at BIGINT NOT NULL,
            sequence BIGINT NOT NULL)""",
        """CREATE TABLE queues (
            name TEXT NOT NULL PRIMARY KEY, depth BIGINT NOT NULL, running BIGINT NOT NULL,
            added BIGINT NOT NULL, processed BIGINT NOT NULL, failed BIGINT NOT NULL)
            WITHOUT ROWID""",
        """CREATE TABLE queue_tasks (
            queue TEXT NOT NULL, task_id TEXT NOT NULL, attempt BIGINT NOT NULL,
            stage INTEGER NOT NULL, added_at BIGINT, started_at BIGINT, finished_at BIGINT,
            left_at BIGINT, waited_us BIGINT, eval_id TEXT, PRIMARY KEY (queue, task_id))
            WITHOUT ROWID""",
        "CREATE INDEX ix_queue_tasks_waiting ON queue_tasks (queue, added_at) WHERE stage = 0",
        """CREATE INDEX ix_queue_tasks_left ON queue_tasks (queue, left_at)
            WHERE waited_us IS NOT NULL""",
        """CREATE TABLE queue_throughput (
            queue TEXT NOT NULL, bucket BIGINT NOT NULL, processed BIGINT NOT NULL,
            PRIMARY KEY (queue, bucket)) WITHOUT ROWID""",
        """CREATE TABLE metrics (
            name TEXT NOT NULL PRIMARY KEY, kind TEXT NOT NULL, base FLOAT NOT NULL,
            base_sequence BIGINT NOT NULL, added FLOAT NOT NULL, unit TEXT,
            samples BIGINT NOT NULL, updated_at BIGINT NOT NULL, last_sequence BIGINT NOT NULL,
            crossed TEXT) WITHOUT ROWID""",
        """CREATE TABLE metric_samples (
            metric TEXT NOT NULL, sequence BIGINT NOT NULL, time BIGINT NOT NULL,
            amount FLOAT NOT NULL, is_increment BOOLEAN NOT NULL, value FLOAT NOT NULL,
            PRIMARY KEY (metric, sequence)) WITHOUT ROWID""",
        """CREATE TABLE files (
            path TEXT NOT NULL PRIMARY KEY, bytes BIGINT NOT NULL, kind TEXT, eval_id TEXT,
            created_at BIGINT NOT NULL, is_deleted BOOLEAN NOT NULL, sequence BIGINT NOT NULL)""",
        "CREATE INDEX ix_files_eval ON files (eval_id, sequence, bytes) WHERE is_deleted = 0",
        """CREATE TABLE alerts (
            first_sequence INTEGER NOT NULL PRIMARY KEY, id TEXT NOT NULL UNIQUE,
            fingerprint TEXT NOT NULL, service TEXT NOT NULL, error_type TEXT NOT NULL,
            severity TEXT NOT NULL, rank INTEGER NOT NULL, state TEXT NOT NULL,
            is_open BOOLEAN NOT NULL, error TEXT NOT NULL, eval_id TEXT,
            occurrences BIGINT NOT NULL, first_seen BIGINT NOT NULL, last_seen BIGINT NOT NULL,
            last_sequence BIGINT NOT NULL, muted_until BIGINT, state_before_mute TEXT,
            occurrences_at_mute BIGINT NOT NULL, "by" TEXT)""",
        "CREATE INDEX ix_alerts_last ON alerts (last_sequence)",
        "CREATE INDEX ix_alerts_state ON alerts (state, last_sequence)",
        "CREATE INDEX ix_alerts_open ON alerts (is_open, rank, last_sequence)",
    ):
        ddl.run(conn, statement)
    for name in _FIRST_COUNTERS:
        ddl.run(conn, f"INSERT INTO handler_counters (name, value) VALUES ('{name}', 0)")


def _add_retry_at(conn: Connection) -> None:
    ddl.run(conn, "ALTER TABLE evaluations ADD COLUMN retry_at BIGINT")


def _add_alert_history(conn: Connection) -> None:
    for statement in (
        """CREATE TABLE alert_buckets (
            alert_id TEXT NOT NULL, bucket BIGINT NOT NULL, occurrences BIGINT NOT NULL,
            PRIMARY KEY (alert_id, bucket)) WITHOUT ROWID""",
        """CREATE TABLE alert_occurrences (
            alert_id TEXT NOT NULL, sequence BIGINT NOT NULL, time BIGINT NOT NULL,
            severity TEXT NOT NULL, eval_id TEXT,
            PRIMARY KEY (alert_id, sequence)) WITHOUT ROWID""",
        """CREATE TABLE alert_changes (
            alert_id TEXT NOT NULL, sequence BIGINT NOT NULL, time BIGINT NOT NULL,
            change TEXT NOT NULL, severity TEXT NOT NULL, state TEXT NOT NULL, "by" TEXT,
            until BIGINT, PRIMARY KEY (alert_id, sequence)) WITHOUT ROWID""",
        "CREATE INDEX ix_alerts_severity ON alerts (severity, last_sequence)",
        "CREATE INDEX ix_alerts_severity_state ON alerts (severity, state, last_sequence)",
    ):
        ddl.run(conn, statement)


def _add_cancelled(conn: Connection) -> None:
    ddl.run(conn, "INSERT INTO handler_counters (name, value) VALUES ('evaluation.cancelled', 0)")


def _index_evaluation_list(conn: Connection) -> None:
    for statement in (
        "CREATE INDEX ix_evaluations_task ON evaluations (task, first_sequence)",
        "CREATE INDEX ix_evaluations_model ON evaluations (model, first_sequence)",
        """CREATE INDEX ix_evaluations_list ON evaluations (
            first_sequence, state, task, model, attempt, eval_id, started_at, attempt_started_at,
            finished_at)""",
    ):
        ddl.run(conn, statement)


def _create_evaluation_inbox(conn: Connection) -> None:
    for statement in (
        """CREATE TABLE evaluation_inbox (
            sequence INTEGER NOT NULL PRIMARY KEY, eval_id TEXT NOT NULL,
            opened_at BIGINT NOT NULL, failed_at BIGINT NOT NULL, attempt INTEGER NOT NULL,
            error TEXT, closed_at BIGINT, closed_sequence BIGINT, closed_type TEXT,
            closed_by TEXT, reason TEXT)""",
        """CREATE INDEX ix_evaluation_inbox_open ON evaluation_inbox (sequence)
            WHERE closed_sequence IS NULL""",
        """CREATE INDEX ix_evaluation_inbox_eval ON evaluation_inbox (eval_id)
            WHERE closed_sequence IS NULL""",
        "CREATE INDEX ix_evaluation_inbox_closed ON evaluation_inbox (closed_sequence)",
        # Of what was closed before, `flask rebuild` finds the history in the log.
        """INSERT INTO evaluation_inbox (sequence, eval_id, opened_at, failed_at, attempt, error)
            SELECT last_sequence, eval_id, updated_at, updated_at, attempt,
                CASE WHEN length(error) <= 4000 THEN error END
            FROM evaluations WHERE state = 'exhausted'""",
    ):
        ddl.run(conn, statement)


def _add_saved_views(conn: Connection) -> None:
    ddl.run(
        conn,
        """CREATE TABLE saved_views (
            name TEXT NOT NULL PRIMARY KEY, type TEXT NOT NULL, "by" TEXT,
            saved_at BIGINT NOT NULL, last_sequence BIGINT NOT NULL) WITHOUT ROWID""",
    )


def _add_evaluation_steps(conn: Connection) -> None:
    ddl.run(
        conn,
        """CREATE TABLE evaluation_steps (
            first_sequence BIGINT NOT NULL, sequence BIGINT NOT NULL,
            PRIMARY KEY (first_sequence, sequence)) WITHOUT ROWID""",
    )


def _index_quiet_alerts(conn: Connection) -> None:
    ddl.run(conn, "CREATE INDEX ix_alerts_quiet ON alerts (last_sequence, last_seen) WHERE is_open")


def _add_inbox_error_class(conn: Connection) -> None:
    ddl.run(conn, "ALTER TABLE evaluation_inbox ADD COLUMN error_class TEXT")
    some = text(
        "SELECT sequence, error FROM evaluation_inbox WHERE sequence > :after"
        " ORDER BY sequence LIMIT 1000"
    )
    change = text("UPDATE evaluation_inbox SET error_class = :error_class WHERE sequence = :number")
    after = 0
    while rows := conn.execute(some, {"after": after}).all():
        after = rows[-1].sequence
        conn.execute(
            change,
            [{"number": row.sequence, "error_class": error_class(row.error)} for row in rows],
        )
    ddl.run(
        conn,
        """CREATE INDEX ix_evaluation_inbox_class ON evaluation_inbox (error_class, sequence)
            WHERE closed_sequence IS NULL""",
    )


def _add_inbox_operation(conn: Connection) -> None:
    ddl.run(conn, "ALTER TABLE evaluation_inbox ADD COLUMN operation BIGINT")
    ddl.run(
        conn,
        """CREATE INDEX ix_evaluation_inbox_operation ON evaluation_inbox (operation, sequence)
            WHERE operation IS NOT NULL""",
    )


MIGRATIONS: tuple[Callable[[Connection], None], ...] = (
    _create_read_models,
    _add_retry_at,
    _add_alert_history,
    _add_cancelled,
    _index_evaluation_list,
    _create_evaluation_inbox,
    _add_saved_views,
    _add_evaluation_steps,
    _index_quiet_alerts,
    _add_inbox_error_class,
    _add_inbox_operation,
)
