"""The inbox of evaluations: which failures still need a person, and what closed the others."""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Row, func, select

from eventbus.log import EventLog
from eventbus.log.cursor import decode_cursor, encode_cursor
from eventbus.timestamps import from_microseconds
from handlers.evaluation.inbox_table import is_open, items
from handlers.evaluation.lifecycle import State
from handlers.evaluation.table import evaluations
from handlers.page import Page

_MAX_PAGE = 1000

_with_state = select(
    items, evaluations.c.state, evaluations.c.attempt.label("present"), evaluations.c.task,
    evaluations.c.model, evaluations.c.retry_at,
    (evaluations.c.max_retries + 1).label("max_attempts"),
).join_from(items, evaluations, evaluations.c.eval_id == items.c.eval_id)  # fmt: skip


@dataclass(frozen=True, slots=True)
class InboxItem:
    """An evaluation that used up its retries.

    ``sequence`` is of the event that said so, at ``opened_at``; ``failed_at``, ``failed_attempt``
    and ``error`` are of its last failure. ``state`` and ``attempt`` are its present ones: somebody
    may have it tried again; ``max_attempts`` is how many there are without that. ``closed_at`` and
    the like are None while it needs a person; ``closed_by`` and ``reason`` are given when a person
    closed it.
    """

    sequence: int
    eval_id: str
    state: State
    attempt: int
    max_attempts: int
    task: str | None
    model: str | None
    opened_at: datetime
    failed_at: datetime
    failed_attempt: int
    error: Any
    closed_at: datetime | None
    closed_sequence: int | None
    closed_type: str | None
    closed_by: str | None
    reason: str | None


class Inbox:
    """Questions about it; any thread may ask."""

    def __init__(self, log: EventLog) -> None:
        self._log = log

    def open_count(self, most: int | None = None) -> int:
        """How many need a person; ``most`` when there are that many or more."""
        # ix_evaluation_inbox_open, which has these alone
        some = select(items.c.sequence).where(is_open).limit(most).subquery()
        with self._log.reading() as conn:
            return conn.execute(select(func.count()).select_from(some)).scalar_one()

    def open(self, limit: int = 50, cursor: str | None = None) -> Page[InboxItem]:
        """Those that need a person, newest first. Raises CursorError."""
        limit = max(1, min(limit, _MAX_PAGE))
        query = _with_state.where(is_open).order_by(items.c.sequence.desc())
        if cursor is not None:  # ix_evaluation_inbox_open
            (before,) = decode_cursor(cursor, 1)
            query = query.where(items.c.sequence < before)
        with self._log.reading() as conn:
            rows = conn.execute(query.limit(limit + 1)).all()
        found = [_item(row) for row in rows[:limit]]
        more = len(rows) > limit
        return Page(found, encode_cursor(found[-1].sequence) if more else None)

    def closed(self, limit: int = 50, cursor: str | None = None) -> Page[InboxItem]:
        """Those that were closed, the last one first. Raises CursorError."""
        limit = max(1, min(limit, _MAX_PAGE))
        query = _with_state.where(items.c.closed_sequence.is_not(None))
        if cursor is not None:  # ix_evaluation_inbox_closed
            (before,) = decode_cursor(cursor, 1)
            query = query.where(items.c.closed_sequence < before)
        with self._log.reading() as conn:
            rows = conn.execute(
                query.order_by(items.c.closed_sequence.desc()).limit(limit + 1)
            ).all()
        found = [_item(row) for row in rows[:limit]]
        more = len(rows) > limit
        return Page(found, encode_cursor(found[-1].closed_sequence or 0) if more else None)


def _item(row: Row[Any]) -> InboxItem:
    return InboxItem(
        sequence=row.sequence,
        eval_id=row.eval_id,
        state=row.state,
        attempt=row.present,
        max_attempts=row.max_attempts,
        task=row.task,
        model=row.model,
        opened_at=from_microseconds(row.opened_at),
        failed_at=from_microseconds(row.failed_at),
        failed_attempt=row.attempt,
        error=None if row.error is None else json.loads(row.error),
        closed_at=None if row.closed_at is None else from_microseconds(row.closed_at),
        closed_sequence=row.closed_sequence,
        closed_type=row.closed_type,
        closed_by=row.closed_by,
        reason=row.reason,
    )
