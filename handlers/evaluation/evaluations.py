"""The read model of evaluations: what the screens and the API ask, each question bounded."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Select, bindparam, select

from eventbus.log import EventLog
from eventbus.timestamps import from_microseconds
from handlers import counters
from handlers.evaluation import listing
from handlers.evaluation.lifecycle import STATES, EvaluationRow, State
from handlers.evaluation.table import evaluations, is_completed, results, steps
from handlers.page import Page

_with_result = select(evaluations, results.c.result).outerjoin(  # the results' primary key
    results, results.c.eval_id == evaluations.c.eval_id
)
_durations = (  # ix_evaluations_durations, newest first
    select(evaluations.c.finished_at - evaluations.c.attempt_started_at)
    .where(
        is_completed,
        evaluations.c.task.is_not_distinct_from(bindparam("task")),
        evaluations.c.attempt_started_at.is_not(None),
    )
    .order_by(evaluations.c.finished_at.desc())
    .limit(bindparam("count"))
)


@dataclass(frozen=True, slots=True)
class Evaluation:
    """One evaluation as it is shown.

    ``attempt`` counts from 1 and is ``retry_count`` + 1; ``done``, ``total`` and ``errors`` count
    samples of the present attempt; ``error`` is the last failure's (an object or text), ``result``
    what completing it stored. The times are aware, in UTC: ``started_at`` of the first attempt,
    ``attempt_started_at`` of the present one, ``retry_at`` is when a retry that is delayed is due.
    """

    eval_id: str
    state: State
    attempt: int
    retry_count: int
    max_retries: int
    task: str | None
    model: str | None
    started_at: datetime | None
    attempt_started_at: datetime | None
    finished_at: datetime | None
    updated_at: datetime
    retry_at: datetime | None
    done: int
    total: int | None
    errors: int
    error: Any
    result: Any
    first_sequence: int
    last_sequence: int


@dataclass(frozen=True, slots=True)
class Completion:
    """An attempt that completed: when (aware, in UTC), and after how many seconds."""

    at: datetime
    duration_s: float


class Evaluations:
    """Questions about evaluations; any thread may ask."""

    def __init__(self, log: EventLog) -> None:
        self._log = log

    def get(self, eval_id: str) -> Evaluation | None:
        """One evaluation by its id, None when no event named it."""
        query = _with_result.where(evaluations.c.eval_id == eval_id)  # unique index on eval_id
        found = self._fetch(query.limit(1))
        return found[0] if found else None

    def list(
        self, state: State | None = None, limit: int = 50, cursor: str | None = None
    ) -> Page[Evaluation]:
        """Evaluations, the newest first, of one state or of all; ``limit`` is 1 to 1000.

        Raises CursorError for a cursor that this list did not hand out.
        """
        return self.search(listing.EvaluationQuery(state=state, limit=limit, cursor=cursor))

    def search(self, query: listing.EvaluationQuery) -> Page[Evaluation]:
        """One page of the evaluations that match.

        Raises CursorError for a cursor that this list did not hand out.
        """
        with self._log.reading() as conn:
            keys, next_cursor = listing.page_keys(conn, query)
            chosen = _with_result.where(evaluations.c.first_sequence.in_(keys))  # primary key
            rows = {each.first_sequence: each for each in conn.execute(chosen)} if keys else {}
        items = [
            _shown(EvaluationRow._make(rows[key][:-1]), rows[key].result)
            for key in keys if key in rows
        ]  # fmt: skip
        return Page(items, next_cursor)

    def count_by_state(self, query: listing.EvaluationQuery) -> dict[str, int]:
        """How many match in each state, whatever state the query asks for."""
        with self._log.reading() as conn:
            return listing.count_by_state(conn, query)

    def names(self) -> dict[str, list[str]]:
        """The tasks and the models that there are, at most 200 of each, as "task" and "model"."""
        with self._log.reading() as conn:
            return {"task": listing.names(conn, "task"), "model": listing.names(conn, "model")}

    def active(self, limit: int = 50) -> Sequence[Evaluation]:
        """What runs now, the newest first."""
        return self.list("active", limit).items

    def retrying(self, limit: int = 50) -> Sequence[Evaluation]:
        """What waits for its next attempt, the newest first."""
        return self.list("retrying", limit).items

    def counts(self) -> dict[str, int]:
        """How many evaluations are in each state, and as "failures" how many failures counted."""
        with self._log.reading() as conn:
            values = counters.read(conn)
        return {name: values[f"evaluation.{name}"] for name in (*STATES, "failures")}

    def running_since(self, before: int, after: int, limit: int) -> Sequence[EvaluationRow]:
        """Active evaluations whose attempt started before a time (in microseconds), oldest first.

        ``after`` is the ``first_sequence`` behind which to go on.
        """
        query = (
            select(evaluations)
            .where(  # ix_evaluations_state
                evaluations.c.state == "active",
                evaluations.c.first_sequence > after,
                evaluations.c.attempt_started_at < before,
            )
            .order_by(evaluations.c.first_sequence)
            .limit(limit)
        )
        with self._log.reading() as conn:
            records = conn.execute(query).all()
        return [EvaluationRow._make(record) for record in records]

    def recent_durations(self, task: str | None, count: int) -> Sequence[float]:
        """Seconds that the last ``count`` completed evaluations of this task took."""
        with self._log.reading() as conn:
            values = conn.execute(_durations, {"task": task, "count": count}).scalars()
            return [max(0, value) / 1e6 for value in values]

    def lately_completed(self, count: int) -> Sequence[Completion]:
        """Of the ``count`` completed ones that started last: when each ended, how long it took."""
        query = (  # ix_evaluations_state
            select(evaluations.c.finished_at, evaluations.c.attempt_started_at)
            .where(
                evaluations.c.state == "completed",
                evaluations.c.attempt_started_at.is_not(None),
                evaluations.c.finished_at.is_not(None),
            )
            .order_by(evaluations.c.first_sequence.desc())
            .limit(count)
        )
        with self._log.reading() as conn:
            rows = conn.execute(query).all()
        return [
            Completion(
                from_microseconds(row.finished_at),
                max(0, row.finished_at - row.attempt_started_at) / 1e6,
            )
            for row in rows
        ]

    def steps(self, evaluation: Evaluation, count: int) -> Sequence[int]:
        """The sequences of the last ``count`` events that moved it from state to state, ascending.

        None of those before an upgrade to the version that keeps them, until a rebuild.
        """
        query = (
            select(steps.c.sequence)  # primary key
            .where(steps.c.first_sequence == evaluation.first_sequence)
            .order_by(steps.c.sequence.desc())
            .limit(count)
        )
        with self._log.reading() as conn:
            return sorted(conn.scalars(query))

    def result(self, eval_id: str) -> Any:
        """The stored result, None when there is none."""
        with self._log.reading() as conn:  # primary key
            text = conn.scalar(select(results.c.result).where(results.c.eval_id == eval_id))
        return None if text is None else json.loads(text)

    def _fetch(self, query: Select[Any]) -> Sequence[Evaluation]:
        with self._log.reading() as conn:
            records = conn.execute(query).all()
        return [_shown(EvaluationRow._make(record[:-1]), record.result) for record in records]


def _shown(row: EvaluationRow, result: str | None) -> Evaluation:
    return Evaluation(
        eval_id=row.eval_id,
        state=row.state,
        attempt=row.attempt,
        retry_count=row.attempt - 1,
        max_retries=row.max_retries,
        task=row.task,
        model=row.model,
        started_at=_time(row.started_at),
        attempt_started_at=_time(row.attempt_started_at),
        finished_at=_time(row.finished_at),
        updated_at=from_microseconds(row.updated_at),
        retry_at=_time(row.retry_at),
        done=row.done,
        total=row.total,
        errors=row.errors,
        error=None if row.error is None else json.loads(row.error),
        result=None if result is None else json.loads(result),
        first_sequence=row.first_sequence,
        last_sequence=row.last_sequence,
    )


def _time(value: int | None) -> datetime | None:
    return None if value is None else from_microseconds(value)
