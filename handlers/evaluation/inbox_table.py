"""The table of evaluations that need a person: opened, and closed by what happens to them later."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass

from sqlalchemy import (
    BigInteger,
    Column,
    Connection,
    Index,
    Integer,
    Table,
    Text,
    bindparam,
    insert,
    select,
    update,
)

from eventbus import Event
from eventbus.log.schema import ROW_NUMBER
from eventbus.timestamps import to_microseconds
from handlers import payload
from handlers.alert.fingerprint import error_type
from handlers.evaluation.facts import Facts
from handlers.evaluation.lifecycle import EvaluationRow
from handlers.tables import metadata

DISMISSED = "evaluation.dismissed"
MAX_REASON_CHARS = 1_000
_MAX_ERROR_CHARS = 4_000
_CLOSING = frozenset({"completed", "cancelled"})

items = Table(
    "evaluation_inbox",
    metadata,
    # Of the event that told that the retries were used up: unique, and in order of arrival.
    Column("sequence", ROW_NUMBER, primary_key=True, autoincrement=False),
    Column("eval_id", Text, nullable=False),
    Column("opened_at", BigInteger, nullable=False),
    Column("failed_at", BigInteger, nullable=False),
    Column("attempt", Integer, nullable=False),
    Column("error", Text),
    Column("closed_at", BigInteger),
    Column("closed_sequence", BigInteger),
    Column("closed_type", Text),
    Column("closed_by", Text),
    Column("reason", Text),
    Column("error_class", Text),
    Column("operation", BigInteger),  # the last one that decided about it with others
)
is_open = items.c.closed_sequence.is_(None)
ix_evaluation_inbox_open = Index(
    "ix_evaluation_inbox_open", items.c.sequence, sqlite_where=is_open, postgresql_where=is_open
)
ix_evaluation_inbox_eval = Index(
    "ix_evaluation_inbox_eval", items.c.eval_id, sqlite_where=is_open, postgresql_where=is_open
)
ix_evaluation_inbox_class = Index(
    "ix_evaluation_inbox_class", items.c.error_class, items.c.sequence,
    sqlite_where=is_open, postgresql_where=is_open,
)  # fmt: skip
ix_evaluation_inbox_closed = Index("ix_evaluation_inbox_closed", items.c.closed_sequence)
_is_decided = items.c.operation.is_not(None)
ix_evaluation_inbox_operation = Index(
    "ix_evaluation_inbox_operation", items.c.operation, items.c.sequence,
    sqlite_where=_is_decided, postgresql_where=_is_decided,
)  # fmt: skip

_open_of = select(items.c.sequence).where(  # ix_evaluation_inbox_eval
    items.c.eval_id == bindparam("wanted"), is_open
)


@dataclass(frozen=True, slots=True)
class Dismissal:
    """What ``evaluation.dismissed`` says: a person expects no success of it any more."""

    eval_id: str
    sequence: int
    time: int
    by: str | None
    reason: str | None
    operation: int | None = None

    @classmethod
    def read(cls, event: Event) -> Dismissal:
        """Raises MalformedEventError for data that names no evaluation."""
        return cls(
            payload.identifier_or_subject(event, "eval_id"),
            event.sequence or 0,
            to_microseconds(event.time),
            payload.label(event.data.get("by")),
            payload.label(event.data.get("reason"), MAX_REASON_CHARS),
            payload.operation(event),
        )


def concerns(old: EvaluationRow | None, new: EvaluationRow) -> bool:
    """Whether a step of an evaluation's life opens an item or may close one."""
    if old is not None and old.state == new.state:
        return False
    if new.state == "exhausted":
        return True
    if new.state not in _CLOSING or old is None:
        return False
    # One that was exhausted is so still, has a later attempt, or has been seen to fail.
    return old.state == "exhausted" or old.attempt > 1 or old.failed_attempts != "0"


def follow(conn: Connection, steps: Iterable[tuple[Facts, EvaluationRow] | Dismissal]) -> None:
    """Open and close items as the evaluations went, each with the row that the event led to, and
    as persons said; in the order of their events.
    """
    for step in steps:
        if isinstance(step, Dismissal):
            known = conn.scalar(_open_of, {"wanted": step.eval_id})
            if known is not None:
                _close(
                    conn, known, step.time, step.sequence, DISMISSED, step.by, step.reason,
                    step.operation,
                )  # fmt: skip
            continue
        facts, row = step
        known = conn.scalar(_open_of, {"wanted": row.eval_id})
        if facts.operation is not None:  # a retry with others: it stays open
            decided = update(items).where(items.c.sequence == known)
            conn.execute(decided.values(operation=facts.operation))
            continue
        if row.state != "exhausted":
            if known is not None:
                _close(conn, known, facts.time, facts.sequence, f"evaluation.{facts.kind}")
            continue
        last = {
            "failed_at": facts.time, "attempt": row.attempt, "error": _kept(row.error),
            "error_class": error_class(row.error),
        }  # fmt: skip
        if known is None:
            conn.execute(insert(items).values(
                sequence=facts.sequence, eval_id=row.eval_id, opened_at=facts.time, **last
            ))  # fmt: skip
        else:  # a person had it tried once more, in vain
            conn.execute(update(items).where(items.c.sequence == known).values(last))


def _close(
    conn: Connection, item: int, time: int, sequence: int, type: str,
    by: str | None = None, reason: str | None = None, operation: int | None = None,
) -> None:  # fmt: skip
    closed = {
        "closed_at": time, "closed_sequence": sequence, "closed_type": type, "closed_by": by,
        "reason": reason,
    }  # fmt: skip
    if operation is not None:  # else it tells still which one had it retried
        closed["operation"] = operation
    conn.execute(update(items).where(items.c.sequence == item).values(closed))


def error_class(error: str | None) -> str:
    """The class of an error's JSON text, named as alerts name it; "unknown" when it says none."""
    return error_type(None if error is None else json.loads(error)).strip() or error_type(None)


def _kept(error: str | None) -> str | None:
    """The error's JSON text, cut to what a list shows; the event has all of it."""
    if error is None or len(error) <= _MAX_ERROR_CHARS:
        return error
    value = json.loads(error)
    if isinstance(value, dict):
        short = {name: str(value[name])[:_MAX_ERROR_CHARS] for name in ("type", "message")
                 if name in value}  # fmt: skip
        return payload.to_json(short)
    return payload.to_json(str(value)[:_MAX_ERROR_CHARS])
