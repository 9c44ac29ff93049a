"""The named points in a process whose log is in PostgreSQL: psycopg is watched from outside."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, Any

import psycopg

from tests.crash.beacon import IDLE, IN_COMMIT, IN_TRANSACTION
from tests.crash.points import COMMITTED, ON_POSTGRESQL

if TYPE_CHECKING:
    from tests.crash.faults import Faults

_BEGIN = "SELECT log_head"


def watch(faults: Faults) -> None:
    """Pass a point whenever a statement is about to be sent, and around every COMMIT."""
    for method in ("execute", "executemany", "copy"):
        _wrap(faults, method)
    original = psycopg.Connection.commit

    def commit(connection: psycopg.Connection) -> None:
        if connection.info.transaction_status == psycopg.pq.TransactionStatus.IDLE:
            return original(connection)
        faults.beacon.set("stage", IN_COMMIT)
        faults.reach("commit")
        faults.reach("inside-commit")
        original(connection)
        faults.beacon.set("stage", IDLE)
        faults.reach(COMMITTED.name)
        return None

    psycopg.Connection.commit = commit  # type: ignore[method-assign]


def _wrap(faults: Faults, method: str) -> None:
    original = getattr(psycopg.Cursor, method)

    @functools.wraps(original)
    def before(cursor: Any, query: Any, *args: Any, **kwargs: Any) -> Any:
        sql = str(query).lstrip()
        if sql.startswith(_BEGIN) and "FOR UPDATE" in sql:
            faults.beacon.set("stage", IN_TRANSACTION)
        for statement in ON_POSTGRESQL:
            if sql.startswith(statement.text) and statement.contains in f"{sql} {args}":
                faults.reach(statement.point.name)
        return original(cursor, query, *args, **kwargs)

    setattr(psycopg.Cursor, method, before)
