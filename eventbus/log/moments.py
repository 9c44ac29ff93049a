"""Moments of the log: which event was the newest at a time, and what tells this log from another.

Time here is that of recording. Events may tell any time of their own; the order in which they were
recorded is the only one in which the log grew.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass

from sqlalchemy import ColumnElement, Connection, func, select

from eventbus.log import schema
from eventbus.patterns import Pattern

_events, _deliveries, _removals = schema.events, schema.deliveries, schema.removals
_UNFINISHED = ("pending", "retrying")
_END = 2**62  # behind any sequence


@dataclass(frozen=True, slots=True)
class Mark:
    """A position of a log with the newest event up to there, whose id no other log has there."""

    position: int
    sequence: int
    event_id: str


@dataclass(frozen=True, slots=True)
class Recorded:
    """An event's place and when it was recorded, in microseconds since the epoch."""

    sequence: int
    recorded_us: int


def mark_at(conn: Connection, position: int) -> Mark:
    """What stands at ``position``; of an empty beginning, sequence 0 without an id."""
    row = conn.execute(  # primary key
        select(_events.c.sequence, _events.c.id)
        .where(_events.c.sequence <= position)
        .order_by(_events.c.sequence.desc())
        .limit(1)
    ).first()
    return Mark(position, 0, "") if row is None else Mark(position, row.sequence, row.id)


def is_of(conn: Connection, mark: Mark) -> bool:
    """Whether the log has what ``mark`` saw in it."""
    if mark.sequence == 0:
        return True
    query = select(_events.c.id).where(_events.c.sequence == mark.sequence)
    return conn.execute(query).scalar() == mark.event_id


def newest_upto(conn: Connection, position: int) -> Recorded | None:
    """The newest event up to a position; None when there is none."""
    return _recorded(conn, _events.c.sequence <= position, is_newest=True)


def oldest_after(conn: Connection, position: int) -> Recorded | None:
    """The oldest event after a position; None when there is none."""
    return _recorded(conn, _events.c.sequence > position, is_newest=False)


def position_at(conn: Connection, time_us: int) -> int:
    """The newest event that was recorded at or before a time; 0 when none was.

    Some twenty look-ups by primary key. Where the clock was set back between two events, one of
    the places that fit is taken.
    """
    newest = newest_upto(conn, _END)
    low, high = 0, 0 if newest is None else newest.sequence
    while low < high:  # recorded by then: all up to ``low``, and none after ``high``
        middle = (low + high + 1) // 2
        found = newest_upto(conn, middle)
        if found is None or found.sequence <= low or found.recorded_us <= time_us:
            low = middle
        else:
            high = found.sequence - 1
    found = newest_upto(conn, low)
    return 0 if found is None else found.sequence


def first_unfinished(conn: Connection, subscriptions: Collection[int]) -> int | None:
    """The oldest delivery at one of the subscriptions that is not yet succeeded or given up."""
    found = [
        conn.execute(  # ix_deliveries_unfinished
            select(func.min(_deliveries.c.sequence)).where(
                _deliveries.c.subscription == id,
                _deliveries.c.state == state,
                _deliveries.c.state != "succeeded",
            )
        ).scalar()
        for id in subscriptions
        for state in _UNFINISHED
    ]
    return min((sequence for sequence in found if sequence is not None), default=None)


def newest_gone(conn: Connection, patterns: Iterable[Pattern]) -> int:
    """The newest event of these types of which retention has removed something; 0 for none."""
    wanted = tuple(patterns)
    rows = conn.execute(select(_removals.c.type, _removals.c.last_sequence))  # one a type
    return max(
        (row.last_sequence for row in rows if any(p.matches(row.type) for p in wanted)), default=0
    )


def _recorded(conn: Connection, where: ColumnElement[bool], *, is_newest: bool) -> Recorded | None:
    column = _events.c.sequence
    row = conn.execute(
        select(column, _events.c.recorded_us)
        .where(where)
        .order_by(column.desc() if is_newest else column)
        .limit(1)
    ).first()
    return None if row is None else Recorded(row.sequence, row.recorded_us)
