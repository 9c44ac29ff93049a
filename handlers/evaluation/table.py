"""The tables of evaluations and their results, and how changes of many are written at once."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from operator import attrgetter
from typing import NamedTuple

from sqlalchemy import (
    BigInteger,
    Column,
    Connection,
    Index,
    Integer,
    Table,
    Text,
    bindparam,
    literal_column,
    select,
)

from eventbus.log import EventLog
from eventbus.log.prepared import insert_rows
from eventbus.log.schema import ROW_NUMBER
from handlers import counters
from handlers.committed import CommittedRows
from handlers.errors import StaleStateError
from handlers.evaluation import inbox_table
from handlers.evaluation.facts import Facts
from handlers.evaluation.inbox_table import Dismissal
from handlers.evaluation.lifecycle import EvaluationRow, Outcome, advance
from handlers.tables import Record, RowWriter, metadata, rows_for

evaluations = Table(
    "evaluations",
    metadata,
    # The first event's sequence is unique and in order of arrival: as the primary key it makes
    # the newest-first list a walk of the table itself.
    Column("first_sequence", ROW_NUMBER, primary_key=True, autoincrement=False),
    Column("eval_id", Text, nullable=False, unique=True),
    Column("state", Text, nullable=False),
    Column("attempt", Integer, nullable=False),
    Column("max_retries", Integer, nullable=False),
    Column("task", Text),
    Column("model", Text),
    Column("started_at", BigInteger),
    Column("attempt_started_at", BigInteger),
    Column("finished_at", BigInteger),
    Column("updated_at", BigInteger, nullable=False),
    Column("done", BigInteger, nullable=False),
    Column("total", BigInteger),
    Column("errors", BigInteger, nullable=False),
    Column("error", Text),
    Column("announced", Integer, nullable=False),
    Column("last_sequence", BigInteger, nullable=False),
    Column("failed_attempts", Text, nullable=False),  # it has more bits than an integer column
    Column("retry_at", BigInteger),
)
ix_evaluations_state = Index(
    "ix_evaluations_state", evaluations.c.state, evaluations.c.first_sequence
)
# Written out, in queries too: a bound value would hide from the database that the partial index
# holds all the rows that are asked for.
is_completed = evaluations.c.state == literal_column("'completed'")
# Only completed ones: the durations from which the bound of a stall is learned.
ix_evaluations_durations = Index(
    "ix_evaluations_durations",
    evaluations.c.task,
    evaluations.c.finished_at,
    sqlite_where=is_completed,
    postgresql_where=is_completed,
)

ix_evaluations_task = Index("ix_evaluations_task", evaluations.c.task, evaluations.c.first_sequence)
ix_evaluations_model = Index(
    "ix_evaluations_model", evaluations.c.model, evaluations.c.first_sequence
)
# All that the list can be filtered and sorted by: any combination is one walk of this index,
# 20 ms for 100,000 evaluations, where the table itself takes 80 (errors make its rows long).
ix_evaluations_list = Index(
    "ix_evaluations_list",
    evaluations.c.first_sequence,
    evaluations.c.state,
    evaluations.c.task,
    evaluations.c.model,
    evaluations.c.attempt,
    evaluations.c.eval_id,
    evaluations.c.started_at,
    evaluations.c.attempt_started_at,
    evaluations.c.finished_at,
)

# Apart from the evaluations: results may be large, and the row above is rewritten often.
results = Table(
    "evaluation_results",
    metadata,
    Column("eval_id", Text, primary_key=True),
    Column("result", Text, nullable=False),
    Column("stored_at", BigInteger, nullable=False),
    Column("sequence", BigInteger, nullable=False),
)

# Which events moved an evaluation from state to state or attempt to attempt: its page reads these
# few, whatever number of others the log has of it.
steps = Table(
    "evaluation_steps",
    metadata,
    Column("first_sequence", BigInteger, primary_key=True, autoincrement=False),
    Column("sequence", BigInteger, primary_key=True, autoincrement=False),
    sqlite_with_rowid=False,
)

# A failed evaluation's error may be a quarter of a megabyte; such rows are read again instead.
_MOST_REMEMBERED_CHARS = 1_000

_by_ids = select(evaluations).where(  # the unique index on eval_id
    evaluations.c.eval_id.in_(bindparam("keys", expanding=True))
)
_result_sequences = select(results.c.eval_id, results.c.sequence).where(  # primary key
    results.c.eval_id.in_(bindparam("keys", expanding=True))
)
_evaluation_writer = RowWriter(evaluations, ["first_sequence"])
# SQLite writes every index of which an update names a column, changed or not. Most events, such as
# progress, change none of those that are in one.
_INDEXED = (
    "eval_id", "state", "attempt", "task", "model", "started_at", "attempt_started_at",
    "finished_at",
)  # fmt: skip
_progress_writer = RowWriter(evaluations, ["first_sequence"], keep=_INDEXED)
_indexed = attrgetter(*_INDEXED)
_insert_steps = insert_rows(steps)
_result_writer = RowWriter(results, ["eval_id"])


@dataclass(frozen=True, slots=True)
class Change:
    """What one event changes.

    ``decided`` is the outcome whose further events were published, with ``base``, the row's
    ``last_sequence`` that it rests on (0 for no row); None when nothing but the row depends on it.
    ``version`` is that of the rows it was decided on.
    """

    facts: Facts
    default_max_retries: int
    decided: Outcome | None = None
    base: int = 0
    version: int = 0

    @property
    def sequence(self) -> int:
        """The event's."""
        return self.facts.sequence


class StoredResult(NamedTuple):
    """A result to keep, as JSON text: a row of its table; the highest sequence stays."""

    eval_id: str
    result: str
    stored_at: int
    sequence: int


def load(conn: Connection, eval_ids: Iterable[str]) -> dict[str, EvaluationRow]:
    """The rows of those evaluations that are known, by id."""
    return {row.eval_id: EvaluationRow._make(row) for row in rows_for(conn, _by_ids, eval_ids)}


class EvaluationTable:
    """Writes evaluations; ``rows`` are what their handler decides on."""

    def __init__(self, log: EventLog) -> None:
        self.rows = CommittedRows(log, load)

    def apply(self, conn: Connection, changes: list[Change | Dismissal]) -> None:
        """Advance the evaluations, the counters and the inbox; one transaction's worth of events.

        Raises StaleStateError when a decision rests on a state that is not the committed one.
        """
        before = load(conn, {each.facts.eval_id for each in changes if isinstance(each, Change)})
        now = dict(before)
        deltas: Counter[str] = Counter()
        stored: list[StoredResult] = []
        moved: list[Record] = []
        inbox_steps: list[tuple[Facts, EvaluationRow] | Dismissal] = []
        for change in sorted(changes, key=attrgetter("sequence")):
            if isinstance(change, Dismissal):
                inbox_steps.append(change)
                continue
            facts = change.facts
            row = now.get(facts.eval_id)
            outcome = self._outcome(change, row)
            if outcome.row is None or outcome.row is row:
                continue
            if facts.operation is not None or inbox_table.concerns(row, outcome.row):
                inbox_steps.append((facts, outcome.row))
            now[facts.eval_id] = outcome.row
            if _is_step(row, outcome, facts):
                moved.append((outcome.row.first_sequence, facts.sequence))
            deltas["failures"] += outcome.has_failed
            if facts.result is not None:
                stored.append(StoredResult(facts.eval_id, facts.result, facts.time, facts.sequence))
        new: list[Record] = []
        changed: list[Record] = []
        progressed: list[Record] = []
        for eval_id, row in now.items():
            old = before.get(eval_id)
            if row is old:
                continue
            if old is None:
                new.append(row)
            else:
                (progressed if _indexed(row) == _indexed(old) else changed).append(row)
                deltas[old.state] -= 1
            deltas[row.state] += 1
        _evaluation_writer.save(conn, new, changed)
        _progress_writer.save(conn, [], progressed)
        _insert_steps.run(conn, moved)
        counters.add(conn, {f"evaluation.{name}": delta for name, delta in deltas.items()})
        inbox_table.follow(conn, inbox_steps)
        if stored:
            store_results(conn, stored)
        self._remember(now)

    def _remember(self, now: dict[str, EvaluationRow]) -> None:
        small = []
        for eval_id, row in now.items():
            if len(row.error or "") <= _MOST_REMEMBERED_CHARS:
                small.append((eval_id, row))
            else:
                self.rows.forget(eval_id)
        self.rows.remember(small)

    def _outcome(self, change: Change, row: EvaluationRow | None) -> Outcome:
        if change.decided is None:
            return advance(row, change.facts, change.default_max_retries)
        base = 0 if row is None else row.last_sequence
        if change.base != base or change.version != self.rows.version:
            self.rows.forget(change.facts.eval_id)
            raise StaleStateError(
                f"evaluation {change.facts.eval_id!r} has changed since event "
                f"{change.facts.sequence} was handled"
            )
        return change.decided


def _is_step(before: EvaluationRow | None, outcome: Outcome, facts: Facts) -> bool:
    """Whether the event belongs to the way of the evaluation, and does not only fill in the row."""
    row = outcome.row
    if before is None or row is None or outcome.has_started or outcome.has_failed:
        return True
    is_asking = facts.kind in ("retry", "retry_scheduled")
    return is_asking or (row.state, row.attempt) != (before.state, before.attempt)


def store_results(conn: Connection, stored: Iterable[StoredResult]) -> None:
    """Keep the newest result of each evaluation."""
    newest: dict[str, StoredResult] = {}
    for item in sorted(stored, key=lambda item: item.sequence):
        newest[item.eval_id] = item
    known = {row.eval_id: row.sequence for row in rows_for(conn, _result_sequences, newest)}
    new = [item for eval_id, item in newest.items() if eval_id not in known]
    changed = [
        item for eval_id, item in newest.items()
        if eval_id in known and known[eval_id] < item.sequence
    ]  # fmt: skip
    _result_writer.save(conn, new, changed)
