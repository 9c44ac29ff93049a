"""The inbox of evaluations: which failures still need a person, and what closed the others."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, Row, Select, and_, func, not_, or_, select

from eventbus.log import EventLog
from eventbus.log.cursor import decode_cursor, encode_cursor
from eventbus.timestamps import from_microseconds
from handlers.evaluation.inbox_table import is_open, items
from handlers.evaluation.lifecycle import State
from handlers.evaluation.table import evaluations
from handlers.page import Page
from handlers.settings import MAX_ATTEMPT

_MAX_PAGE = 1000

# As `why_not_retry` has it, for many at once.
_can_be_retried = and_(
    evaluations.c.state.not_in(("completed", "active")),
    not_(and_(evaluations.c.state == "retrying", evaluations.c.retry_at.is_(None))),
    or_(
        evaluations.c.attempt < MAX_ATTEMPT,
        and_(evaluations.c.state == "retrying", evaluations.c.attempt <= MAX_ATTEMPT),
    ),
)

_with_state = select(
    items, evaluations.c.state, evaluations.c.attempt.label("present"), evaluations.c.task,
    evaluations.c.model, evaluations.c.retry_at,
    (evaluations.c.max_retries + 1).label("max_attempts"),
).join_from(items, evaluations, evaluations.c.eval_id == items.c.eval_id)  # fmt: skip


@dataclass(frozen=True, slots=True)
class InboxItem:
    """An evaluation that used up its retries.

    ``error_class`` is what alerts call the type of ``error``; "unknown" when it says none.
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
    error_class: str
    closed_at: datetime | None
    closed_sequence: int | None
    closed_type: str | None
    closed_by: str | None
    reason: str | None


@dataclass(frozen=True, slots=True)
class InboxSelection:
    """Of those that need a person: the evaluations ``eval_ids``, at most 1000, or when there are
    none all, of ``error_class`` when it is given, and with a ``sequence`` up to ``until``."""

    eval_ids: tuple[str, ...] = ()
    error_class: str | None = None
    until: int | None = None

    def where(self) -> ColumnElement[bool]:
        """The items that are meant."""
        terms: list[ColumnElement[bool]] = [is_open]  # ix_evaluation_inbox_open
        if self.eval_ids:  # ix_evaluation_inbox_eval
            terms.append(items.c.eval_id.in_(self.eval_ids))
        if self.error_class is not None:  # ix_evaluation_inbox_class
            terms.append(items.c.error_class == self.error_class)
        if self.until is not None:
            terms.append(items.c.sequence <= self.until)
        return and_(*terms)

    def to_dict(self) -> dict[str, Any]:
        """As an operation keeps and tells it, without what is not given."""
        if self.eval_ids:
            return {"evaluations": list(self.eval_ids), "last": self.until}
        return {
            name: value
            for name, value in (("error_class", self.error_class), ("last", self.until))
            if value is not None
        }

    @classmethod
    def from_dict(cls, given: dict[str, Any]) -> InboxSelection:
        """What ``to_dict`` gave."""
        ids = tuple(given.get("evaluations", ()))
        return cls(ids, given.get("error_class"), given.get("last"))


def _selected(query: Select[Any], selection: InboxSelection, can_be_retried: bool) -> Select[Any]:
    """Of the items that are queried those that are selected."""
    query = query.where(selection.where())
    if not can_be_retried:
        return query
    joined = query.join(evaluations, evaluations.c.eval_id == items.c.eval_id)
    return joined.where(_can_be_retried)


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

    def error_classes(self, limit: int = 100) -> list[tuple[str, int]]:
        """The most frequent classes of their errors, each with how many need a person."""
        count = func.count()
        query = (
            select(items.c.error_class, count)
            .where(is_open)  # ix_evaluation_inbox_closed, or ix_evaluation_inbox_class
            .group_by(items.c.error_class)
            .order_by(count.desc(), items.c.error_class)
            .limit(limit)
        )
        with self._log.reading() as conn:
            return [(error_class, number) for error_class, number in conn.execute(query)]

    def last(self) -> int:
        """The sequence of the newest item that needs a person; 0 when there is none."""
        with self._log.reading() as conn:  # ix_evaluation_inbox_open
            return conn.scalar(select(func.max(items.c.sequence)).where(is_open)) or 0

    def fixed(self, selection: InboxSelection) -> InboxSelection:
        """The same, without what needs a person only from now on."""
        return selection if selection.until is not None else replace(selection, until=self.last())

    def count(self, selection: InboxSelection, *, can_be_retried: bool = False) -> int:
        """How many are selected; with ``can_be_retried`` of those that can be now."""
        query = _selected(select(func.count()).select_from(items), selection, can_be_retried)
        with self._log.reading() as conn:
            return conn.execute(query).scalar_one()

    def select(
        self, selection: InboxSelection, limit: int, after: int = 0, *, can_be_retried: bool = False
    ) -> list[tuple[int, str]]:
        """Sequence and id of those that are selected, the oldest first, from ``after`` on."""
        some = select(items.c.sequence, items.c.eval_id).where(items.c.sequence > after)
        query = _selected(some, selection, can_be_retried)
        with self._log.reading() as conn:
            rows = conn.execute(query.order_by(items.c.sequence).limit(limit)).all()
        return [(row.sequence, row.eval_id) for row in rows]

    def open(
        self, limit: int = 50, cursor: str | None = None, error_class: str | None = None
    ) -> Page[InboxItem]:
        """Those that need a person, newest first, of one class of error or all.

        Raises CursorError.
        """
        chosen = InboxSelection(error_class=error_class)
        return self._page(_with_state.where(chosen.where()), items.c.sequence, limit, cursor)

    def closed(self, limit: int = 50, cursor: str | None = None) -> Page[InboxItem]:
        """Those that were closed, the last one first. Raises CursorError."""
        closed = _with_state.where(items.c.closed_sequence.is_not(None))
        # ix_evaluation_inbox_closed
        return self._page(closed, items.c.closed_sequence, limit, cursor)

    def decided(
        self, operation: int, limit: int = 50, cursor: str | None = None
    ) -> Page[InboxItem]:
        """Those that an operation has decided about, and none later, newest first.

        Raises CursorError.
        """
        decided = _with_state.where(items.c.operation == operation)  # ix_evaluation_inbox_operation
        return self._page(decided, items.c.sequence, limit, cursor)

    def outcomes(self, operation: int) -> dict[State, int]:
        """The states that the evaluations are in now which ``decided`` lists, with how many."""
        query = (
            select(evaluations.c.state, func.count())
            .join_from(items, evaluations, evaluations.c.eval_id == items.c.eval_id)
            .where(items.c.operation == operation)  # ix_evaluation_inbox_operation
            .group_by(evaluations.c.state)
        )
        with self._log.reading() as conn:
            return {row[0]: row[1] for row in conn.execute(query)}

    def _page(
        self, query: Select[Any], place: ColumnElement[int], limit: int, cursor: str | None
    ) -> Page[InboxItem]:
        """One page of what the query finds, by ``place`` downwards. Raises CursorError."""
        limit = max(1, min(limit, _MAX_PAGE))
        if cursor is not None:
            (before,) = decode_cursor(cursor, 1)
            query = query.where(place < before)
        with self._log.reading() as conn:
            rows = conn.execute(query.order_by(place.desc()).limit(limit + 1)).all()
        has_more = len(rows) > limit
        last = encode_cursor(rows[limit - 1]._mapping[place]) if has_more else None
        return Page([_item(row) for row in rows[:limit]], last)


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
        error_class=row.error_class,
        closed_at=None if row.closed_at is None else from_microseconds(row.closed_at),
        closed_sequence=row.closed_sequence,
        closed_type=row.closed_type,
        closed_by=row.closed_by,
        reason=row.reason,
    )
