"""The life of a group of alerts, as pure functions: (row or none, fact) -> row.

open -> acknowledged -> resolved -> regressed (on a new occurrence) -> ...
any  -> muted -> open again when its time is over, or when it worsens
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, NamedTuple

State = Literal["open", "acknowledged", "resolved", "muted", "regressed"]
STATES: tuple[State, ...] = ("open", "acknowledged", "resolved", "muted", "regressed")
Severity = Literal["critical", "warning", "info"]
RANKS: dict[str, int] = {"critical": 3, "warning": 2, "info": 1}

# Those that ask for somebody: acknowledged ones have somebody, resolved and muted ones need none.
OPEN_STATES: frozenset[State] = frozenset({"open", "regressed"})

# Muted until it worsens: until a higher severity, or twice as many occurrences as when it was
# muted, but at least so many more that a rare alert's second occurrence is not "worse".
_WORSE_FACTOR = 2
_WORSE_AT_LEAST = 10


class AlertRow(NamedTuple):
    """The state of one group: a row of its table, with the columns in their order.

    Times are microseconds since the epoch; ``error`` is the last occurrence's, as JSON text.
    ``muted_until`` is None while muted until it worsens; ``state_before_mute`` and
    ``occurrences_at_mute`` are what the end of a mute is decided by.
    """

    first_sequence: int
    id: str
    fingerprint: str
    service: str
    error_type: str
    severity: Severity
    rank: int
    state: State
    is_open: bool
    error: str
    eval_id: str | None
    occurrences: int
    first_seen: int
    last_seen: int
    last_sequence: int
    muted_until: int | None = None
    state_before_mute: State | None = None
    occurrences_at_mute: int = 0
    by: str | None = None


@dataclass(frozen=True, slots=True)
class Occurrence:
    """One ``alert.critical``, ``alert.warning`` or ``alert.info`` event."""

    alert_id: str
    sequence: int
    time: int
    fingerprint: str
    service: str
    error_type: str
    severity: Severity
    error: str
    eval_id: str | None = None


@dataclass(frozen=True, slots=True)
class Decision:
    """What a person, or the end of a mute, decided about an alert.

    ``until`` ends a mute, in microseconds since the epoch; None mutes until it worsens.
    """

    alert_id: str
    sequence: int
    time: int
    kind: Literal["acknowledged", "resolved", "muted", "unmuted"]
    by: str | None = None
    until: int | None = None


Fact = Occurrence | Decision


def advance(row: AlertRow | None, fact: Fact) -> AlertRow | None:
    """The group after one event; the very same object when nothing changes.

    A decision about an alert that never occurred changes nothing.
    """
    if isinstance(fact, Occurrence):
        return _occur(row, fact)
    return None if row is None else _decide(row, fact)


def _occur(row: AlertRow | None, fact: Occurrence) -> AlertRow:
    rank = RANKS[fact.severity]
    if row is None:
        return AlertRow(
            first_sequence=fact.sequence,
            id=fact.alert_id,
            fingerprint=fact.fingerprint,
            service=fact.service,
            error_type=fact.error_type,
            severity=fact.severity,
            rank=rank,
            state="open",
            is_open=True,
            error=fact.error,
            eval_id=fact.eval_id,
            occurrences=1,
            first_seen=fact.time,
            last_seen=fact.time,
            last_sequence=fact.sequence,
        )
    state = _state_after(row, fact, rank)
    # A regression is a new story: its severity is its own. Within one the highest one stays.
    is_higher = rank > row.rank or row.state == "resolved"
    seen = row._replace(
        severity=fact.severity if is_higher else row.severity,
        rank=rank if is_higher else row.rank,
        error=fact.error,
        eval_id=fact.eval_id or row.eval_id,
        occurrences=row.occurrences + 1,
        first_seen=min(row.first_seen, fact.time),
        last_seen=max(row.last_seen, fact.time),
        last_sequence=fact.sequence,
    )
    return seen if state == row.state else _move(seen, state)


def _state_after(row: AlertRow, fact: Occurrence, rank: int) -> State:
    if row.state == "resolved":
        return "regressed"
    if row.state == "acknowledged":
        # Somebody has the warning; that it became critical is news even to them.
        return "open" if rank > row.rank else "acknowledged"
    if row.state == "muted" and not _stays_muted(row, fact, rank):
        return "regressed" if row.state_before_mute in ("resolved", "regressed") else "open"
    return row.state


def _stays_muted(row: AlertRow, fact: Occurrence, rank: int) -> bool:
    if row.muted_until is not None:
        return fact.time < row.muted_until
    at_mute = row.occurrences_at_mute
    is_many = row.occurrences + 1 >= max(_WORSE_FACTOR * at_mute, at_mute + _WORSE_AT_LEAST)
    return rank <= row.rank and not is_many


def _decide(row: AlertRow, fact: Decision) -> AlertRow:
    if fact.kind == "muted":
        before = row.state_before_mute if row.state == "muted" else row.state
        muted = _move(row, "muted", fact.by)
        return muted._replace(
            muted_until=fact.until,
            state_before_mute=before,
            occurrences_at_mute=row.occurrences,
            last_sequence=fact.sequence,
        )
    state: State
    if fact.kind == "unmuted":
        if row.state != "muted":
            return row
        state = row.state_before_mute or "open"
        if row.occurrences > row.occurrences_at_mute:
            state = "regressed" if state in ("resolved", "regressed") else "open"
    elif fact.kind == "resolved":
        state = "resolved"
    else:
        state = "acknowledged" if row.state != "resolved" else "resolved"
    if state == row.state:
        return row
    return _move(row, state, fact.by)._replace(last_sequence=fact.sequence)


def _move(row: AlertRow, state: State, by: str | None = None) -> AlertRow:
    return row._replace(
        state=state,
        is_open=state in OPEN_STATES,
        muted_until=None,
        state_before_mute=None,
        occurrences_at_mute=0,
        by=by,
    )
