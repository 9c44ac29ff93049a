"""Removing events and payloads: what may go, doing it in one transaction, and what has gone."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from sqlalchemy import Connection, bindparam, delete, func, select, update

from eventbus.log import schema
from eventbus.log.known_types import matches_rows
from eventbus.log.upsert import larger, upsert
from eventbus.patterns import Pattern

_events, _deliveries, _removals = schema.events, schema.deliveries, schema.removals
# What goes with an event; each begins its primary key with the sequence.
_CHILDREN = (schema.interventions, schema.attempts, _deliveries)
# Whoever may still need the event: one who has not finished, or may be given it again.
UNFINISHED = ("pending", "running", "retrying", "dead")

What = Literal["event", "payload"]


@dataclass(frozen=True, slots=True)
class Candidate:
    """An event that may go, or whose payload may; ``size`` is its payload's, in characters."""

    sequence: int
    type: str
    size: int


def so_far(conn: Connection) -> tuple[int, int]:
    """The newest event of which something was removed, 0 for none, and how many events were."""
    table = schema.removals
    last, count = conn.execute(
        select(func.max(table.c.last_sequence), func.sum(table.c.events))
    ).one()
    return last or 0, int(count or 0)


def types_after(conn: Connection, after: str, limit: int) -> list[str]:
    """The next types in the log by name: one look-up in ix_events_type for each."""
    found: list[str] = []
    query = select(func.min(_events.c.type)).where(_events.c.type > bindparam("after"))
    while len(found) < limit:
        name = conn.execute(query, {"after": found[-1] if found else after}).scalar()
        if name is None:
            break
        found.append(name)
    return found


def recorded_before(conn: Connection, moment_us: int, last: int) -> int:
    """The newest sequence up to ``last`` that was recorded before a moment; by bisection.

    While the clock was never set back, all before it were, and none after it.
    """
    at = (  # primary key
        select(_events.c.sequence, _events.c.recorded_us)
        .where(_events.c.sequence > bindparam("after"))
        .order_by(_events.c.sequence)
        .limit(1)
    )
    low, high = 0, last
    while low < high:
        middle = (low + high) // 2
        row = conn.execute(at, {"after": middle}).first()
        if row is None or row.sequence > last or row.recorded_us >= moment_us:
            high = middle
        else:
            low = row.sequence
    return low


def candidates(
    conn: Connection, what: What, type: str, after: int, upto: int, moment_us: int, limit: int
) -> list[Candidate]:
    """The next events of a type that were recorded before a moment, ascending."""
    query = (  # ix_events_type
        select(_events.c.sequence, _events.c.type, func.length(_events.c.data).label("size"))
        .where(
            _events.c.type == type,
            _events.c.sequence > after,
            _events.c.sequence <= upto,
            _events.c.recorded_us < moment_us,
        )
        .order_by(_events.c.sequence)
        .limit(limit)
    )
    if what == "payload":
        query = query.where(_events.c.data != "")
    return [Candidate(*row) for row in conn.execute(query)]


def oldest(conn: Connection, after: int, upto: int, moment_us: int, limit: int) -> list[Candidate]:
    """The next events of any type that were recorded before a moment, ascending."""
    query = (  # primary key
        select(_events.c.sequence, _events.c.type, func.length(_events.c.data))
        .where(
            _events.c.sequence > after,
            _events.c.sequence <= upto,
            _events.c.recorded_us < moment_us,
        )
        .order_by(_events.c.sequence)
        .limit(limit)
    )
    return [Candidate(*row) for row in conn.execute(query)]


def count(conn: Connection, what: What, type: str, upto: int, moment_us: int) -> int:
    """How many events of a type, or payloads, there are to go."""
    query = select(func.count()).where(
        _events.c.type == type, _events.c.sequence <= upto, _events.c.recorded_us < moment_us
    )
    if what == "payload":
        query = query.where(_events.c.data != "")
    return conn.execute(query).scalar() or 0


def unfinished(conn: Connection) -> Iterator[tuple[int, str]]:
    """Sequence and type of every event that some delivery holds back."""
    query = (  # ix_deliveries_unfinished
        select(_deliveries.c.sequence, _events.c.type)
        .join_from(_deliveries, _events, _deliveries.c.sequence == _events.c.sequence)
        .where(_deliveries.c.state != "succeeded", _deliveries.c.state.in_(UNFINISHED))
        .distinct()
    )
    for row in conn.execute(query):
        yield row.sequence, row.type


def held_back(
    conn: Connection, sequences: Sequence[int], holes: Collection[tuple[int, int]]
) -> set[int]:
    """Those of the events that must stay now.

    ``holes`` are the deliveries that the baseline does not have: one of them that has succeeded
    meanwhile would be lost to it.
    """
    # Only those that are found: Python's driver may wait for the interpreter with every row.
    of_these = _deliveries.c.sequence.in_(sequences)  # primary key
    held = set(
        conn.execute(
            select(_deliveries.c.sequence).where(of_these, _deliveries.c.state.in_(UNFINISHED))
        ).scalars()
    )
    if holes:
        some = _deliveries.c.sequence.in_({sequence for sequence, _ in holes})
        query = select(_deliveries.c.sequence, _deliveries.c.subscription).where(
            some, _deliveries.c.state == "succeeded"
        )
        held |= {row.sequence for row in conn.execute(query) if tuple(row) in holes}
    return held


def remove(conn: Connection, what: What, chosen: Sequence[Candidate]) -> None:
    """Remove events with all that is about them, or empty their payloads; counted by type."""
    sequences = [each.sequence for each in chosen]
    if what == "event":
        for table in _CHILDREN:
            conn.execute(delete(table).where(table.c.sequence.in_(sequences)))
        conn.execute(delete(_events).where(_events.c.sequence.in_(sequences)))
    else:
        conn.execute(update(_events).where(_events.c.sequence.in_(sequences)).values(data=""))
    _note(conn, what, chosen)


def _note(conn: Connection, what: What, chosen: Iterable[Candidate]) -> None:
    by_type: dict[str, list[int]] = {}
    for each in chosen:
        by_type.setdefault(each.type, []).append(each.sequence)
    rows: list[dict[str, Any]] = [
        {
            "type": type,
            "events": len(found) if what == "event" else 0,
            "payloads": len(found) if what == "payload" else 0,
            "last_sequence": max(found),
            "events_upto": max(found) if what == "event" else 0,
        }
        for type, found in by_type.items()
    ]
    note = upsert(_removals)
    new = note.excluded
    conn.execute(
        note.on_conflict_do_update(
            index_elements=["type"],
            set_={
                "events": _removals.c.events + new.events,
                "payloads": _removals.c.payloads + new.payloads,
                "last_sequence": larger(_removals.c.last_sequence, new.last_sequence),
                "events_upto": larger(_removals.c.events_upto, new.events_upto),
            },
        ),
        rows,
    )


def newest_removed(conn: Connection, pattern: Pattern, after: int) -> int | None:
    """The newest removed event after a sequence whose type matches; None when there is none."""
    query = select(func.max(_removals.c.events_upto)).where(_removals.c.events_upto > after)
    if not pattern.matches_all:
        query = query.where(matches_rows(pattern, _removals.c.type))
    return conn.execute(query).scalar()


def removed_counts(conn: Connection) -> tuple[int, int]:
    """How many events and how many payloads were removed ever."""
    row = conn.execute(select(func.sum(_removals.c.events), func.sum(_removals.c.payloads))).one()
    return int(row[0] or 0), int(row[1] or 0)  # PostgreSQL sums to decimals
