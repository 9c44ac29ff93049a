"""The life of an evaluation, as pure functions: (row or none, facts) -> row and what follows.

    active -> completed | failed -> retrying -> active ... | exhausted;  active <-> stalled
    whatever has not ended -> cancelled

Events come late, twice and out of order. Every rule below therefore asks whether the event still
says something about the attempt that the row is at; if not, the row stays as it is. Counters are
differences between a row's old and new state, so no order of events can make them drift.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

from handlers.evaluation.facts import Facts
from handlers.payload import to_json
from handlers.settings import MAX_ATTEMPT

State = Literal["active", "completed", "failed", "retrying", "exhausted", "stalled", "cancelled"]
STATES: tuple[State, ...] = (
    "active", "completed", "failed", "retrying", "exhausted", "stalled", "cancelled",
)  # fmt: skip
ENDED: frozenset[State] = frozenset({"completed", "exhausted", "cancelled"})
"""Only somebody who starts a further attempt, or asks for one, leads out of these."""

Further = tuple[str, dict[str, Any]]


class EvaluationRow(NamedTuple):
    """The state of one evaluation: a row of its table, with the columns in their order.

    Times are microseconds since the epoch; ``started_at`` is the first attempt's start and
    ``attempt_started_at`` the present one's; ``announced`` is the last attempt whose start has
    been announced; ``error`` is JSON text; ``failed_attempts`` is a hexadecimal number whose bit n
    is set when the failure of attempt n has been counted; ``retry_at`` is when the retry that it
    waits for will be asked for, None when that has been done.
    """

    first_sequence: int
    eval_id: str
    state: State
    attempt: int
    max_retries: int
    task: str | None = None
    model: str | None = None
    started_at: int | None = None
    attempt_started_at: int | None = None
    finished_at: int | None = None
    updated_at: int = 0
    done: int = 0
    total: int | None = None
    errors: int = 0
    error: str | None = None
    announced: int = 0
    last_sequence: int = 0
    failed_attempts: str = "0"
    retry_at: int | None = None

    def has_failed(self, attempt: int) -> bool:
        """Whether the failure of this attempt has been counted."""
        return bool(int(self.failed_attempts, 16) >> attempt & 1)

    def with_failure(self, attempt: int) -> EvaluationRow:
        """The row with the failure of this attempt counted."""
        failed = int(self.failed_attempts, 16) | 1 << attempt
        return self._replace(failed_attempts=f"{failed:x}")


@dataclass(frozen=True, slots=True)
class Outcome:
    """What an event does to an evaluation.

    ``row`` is the very same object when nothing changes; ``further`` are the events that follow;
    ``has_started`` says that an attempt's start is announced, ``has_failed`` that a failure
    counts.
    """

    row: EvaluationRow | None
    further: tuple[Further, ...] = ()
    has_started: bool = False
    has_failed: bool = False


def advance(row: EvaluationRow | None, facts: Facts, default_max_retries: int) -> Outcome:
    """The outcome of one event for the evaluation that ``row`` is (None: not seen before)."""
    outcome = _RULES[facts.kind](row, facts, default_max_retries)
    if outcome.row is None or outcome.row is row:
        return outcome
    previous = 0 if row is None else row.updated_at
    changed = outcome.row._replace(
        updated_at=max(previous, facts.time),
        last_sequence=facts.sequence,
        task=outcome.row.task or facts.task,
        model=outcome.row.model or facts.model,
        retry_at=outcome.row.retry_at if outcome.row.state == "retrying" else None,
    )
    return Outcome(changed, outcome.further, outcome.has_started, outcome.has_failed)


def _new(facts: Facts, state: State, attempt: int, default_max_retries: int) -> EvaluationRow:
    given = facts.max_retries
    return EvaluationRow(
        first_sequence=facts.sequence,
        eval_id=facts.eval_id,
        state=state,
        attempt=attempt,
        max_retries=default_max_retries if given is None else given,
        total=facts.total,
    )


def _activate(row: EvaluationRow, facts: Facts, attempt: int) -> EvaluationRow:
    return row._replace(
        state="active",
        attempt=attempt,
        max_retries=row.max_retries if facts.max_retries is None else facts.max_retries,
        started_at=facts.time if row.started_at is None else row.started_at,
        attempt_started_at=facts.time,
        finished_at=None,
        done=facts.done or 0,
        total=row.total if facts.total is None else facts.total,
        errors=facts.errors or 0,
    )


def _announce(row: EvaluationRow, facts: Facts) -> Outcome:
    """Tell the world that an attempt started; once, because ``announced`` remembers it."""
    started = {"eval_id": row.eval_id, "timestamp": facts.timestamp}
    announced = row._replace(announced=row.attempt)
    return Outcome(announced, (("metrics.evaluation.started", started),), has_started=True)


def _started(row: EvaluationRow | None, facts: Facts, default_max_retries: int) -> Outcome:
    given = facts.attempt
    if row is None:
        attempt = given or 1
        new = _new(facts, "active", attempt, default_max_retries)
        return _announce(_activate(new, facts, attempt), facts)
    if row.state in ("failed", "retrying"):
        attempt = given or (row.attempt + 1 if row.state == "failed" else row.attempt)
        is_news = attempt >= row.attempt
    else:
        # Only a later attempt is news. Without a number it is the start of the attempt that we
        # know; and what began before the end came late, it does not begin again.
        attempt = given or row.attempt
        has_ended = row.state in ENDED
        began_before = has_ended and facts.time <= (row.finished_at or 0)
        is_news = attempt > row.attempt and not began_before
    if is_news and not row.has_failed(attempt) and attempt <= MAX_ATTEMPT:
        return _announce(_activate(row, facts, attempt), facts)
    late = _fill(row, facts, is_present=attempt == row.attempt)
    if row.state in ("active", "stalled") and row.announced < attempt == row.attempt:
        return _announce(late, facts)  # its progress had come first
    return Outcome(late)


def _fill(row: EvaluationRow, facts: Facts, is_present: bool) -> EvaluationRow:
    """What a late start can still tell; the same row when it tells nothing new."""
    is_first_start = is_present and row.announced < row.attempt
    filled = row._replace(
        started_at=_start(row.started_at, facts.time, is_first_start),
        attempt_started_at=_start(row.attempt_started_at, facts.time, is_first_start)
        if is_present
        else row.attempt_started_at,
        total=facts.total if row.total is None else row.total,
        task=row.task or facts.task,
        model=row.model or facts.model,
    )
    return row if filled == row else filled


def _start(known: int | None, given: int, may_move: bool) -> int:
    """When it started: what is known, unless that was only the first sign of life."""
    if known is None:
        return given
    return min(known, given) if may_move else known


def _progress(row: EvaluationRow | None, facts: Facts, default_max_retries: int) -> Outcome:
    if row is None:  # a progress proves that it runs, even if its start never came
        attempt = facts.attempt or 1
        new = _new(facts, "active", attempt, default_max_retries)
        return Outcome(_activate(new, facts, attempt))
    if row.state not in ("active", "stalled"):
        return Outcome(row)
    attempt = facts.attempt or row.attempt
    if attempt > row.attempt and not row.has_failed(attempt):
        return Outcome(_activate(row, facts, attempt))
    if attempt != row.attempt:
        return Outcome(row)
    # Within an attempt nothing goes down: a lower number is an older report.
    moved = row._replace(
        state="active",
        done=max(row.done, facts.done or 0),
        total=max(row.total or 0, facts.total or 0) or None,
        errors=max(row.errors, facts.errors or 0),
    )
    return Outcome(moved)


def _completed(row: EvaluationRow | None, facts: Facts, default_max_retries: int) -> Outcome:
    if row is None:
        row = _new(facts, "completed", facts.attempt or 1, default_max_retries)
    elif row.state == "completed":
        return Outcome(row)
    done = row._replace(
        state="completed",
        attempt=max(row.attempt, facts.attempt or 0),
        finished_at=facts.time,
        done=max(row.done, facts.done or 0),
        error=None,
    )
    return Outcome(done, (("cleanup.evaluation", {"eval_id": facts.eval_id}),))


def _failed(row: EvaluationRow | None, facts: Facts, default_max_retries: int) -> Outcome:
    attempt = facts.attempt
    if attempt is None:
        # Without a number in any other state it is the seed's default, retry_count 0.
        attempt = row.attempt if row is not None and row.state in ("active", "stalled") else 1
    if row is None:
        row = _new(facts, "failed", attempt, default_max_retries)
    elif row.has_failed(attempt):
        return Outcome(row)
    elif attempt < row.attempt or row.state in ENDED:
        return Outcome(row.with_failure(attempt), has_failed=True)
    failed = row.with_failure(attempt)._replace(
        state="failed",
        attempt=attempt,
        max_retries=row.max_retries if facts.max_retries is None else facts.max_retries,
        finished_at=facts.time,
        error=to_json(facts.error),
    )
    return Outcome(failed, _after_failure(failed, facts), has_failed=True)


def _after_failure(row: EvaluationRow, facts: Facts) -> tuple[Further, ...]:
    further: list[Further] = []
    error = facts.error
    if isinstance(error, dict) and error.get("severity") == "critical":
        alert = {"service": "evaluation", "error": error, "eval_id": row.eval_id}
        further.append(("alert.critical", alert))
    retry_count = row.attempt - 1
    if retry_count < row.max_retries:
        retry = {"eval_id": row.eval_id, "retry_count": retry_count + 1}
        further.append(("evaluation.retry", retry))
    else:
        exhausted = {"eval_id": row.eval_id, "retry_count": retry_count, "error": error}
        further.append(("evaluation.exhausted", exhausted))
    return tuple(further)


def _retry(row: EvaluationRow | None, facts: Facts, default_max_retries: int) -> Outcome:
    if row is None:
        target = facts.attempt or 2
        return Outcome(_new(facts, "retrying", target, default_max_retries))
    if row.retry_at is not None and facts.attempt == row.attempt:
        return Outcome(row._replace(retry_at=None))  # the time has come
    target = facts.attempt or row.attempt + 1
    is_late = row.state == "completed" or target <= row.attempt or row.has_failed(target)
    if is_late or target > MAX_ATTEMPT:
        return Outcome(row)
    return Outcome(row._replace(state="retrying", attempt=target))


def _retry_scheduled(row: EvaluationRow | None, facts: Facts, default_max_retries: int) -> Outcome:
    outcome = _retry(row, facts, default_max_retries)
    if outcome.row is row or outcome.row is None:
        return outcome
    return Outcome(outcome.row._replace(retry_at=facts.at))


def _exhausted(row: EvaluationRow | None, facts: Facts, default_max_retries: int) -> Outcome:
    attempt = facts.attempt or (1 if row is None else row.attempt)
    if row is None:
        row = _new(facts, "exhausted", attempt, default_max_retries)
    elif row.state in ENDED:
        return Outcome(row)
    elif row.state in ("active", "retrying") and attempt < row.attempt:
        return Outcome(row)  # someone has started it again since
    error = row.error if facts.error is None else to_json(facts.error)
    finished_at = facts.time if row.finished_at is None else row.finished_at
    return Outcome(
        row._replace(
            state="exhausted",
            attempt=max(row.attempt, attempt),
            finished_at=finished_at,
            error=error,
        )
    )


def _stalled(row: EvaluationRow | None, facts: Facts, default_max_retries: int) -> Outcome:
    if row is None or row.state != "active" or facts.attempt not in (None, row.attempt):
        return Outcome(row)
    return Outcome(row._replace(state="stalled"))


def _cancelled(row: EvaluationRow | None, facts: Facts, default_max_retries: int) -> Outcome:
    if row is None:
        row = _new(facts, "cancelled", facts.attempt or 1, default_max_retries)
    elif row.state in ENDED:
        return Outcome(row)
    elif facts.attempt is not None and facts.attempt < row.attempt:
        return Outcome(row)  # only that attempt was called off, and there is a later one
    attempt = max(row.attempt, facts.attempt or 0)
    if row.state == "failed" and row.attempt <= row.max_retries:
        attempt = max(attempt, row.attempt + 1)  # its retry is on the way, and called off too
    return Outcome(row._replace(state="cancelled", attempt=attempt, finished_at=facts.time))


_RULES = {
    "started": _started,
    "progress": _progress,
    "completed": _completed,
    "failed": _failed,
    "retry_scheduled": _retry_scheduled,
    "retry": _retry,
    "exhausted": _exhausted,
    "stalled": _stalled,
    "cancelled": _cancelled,
}
