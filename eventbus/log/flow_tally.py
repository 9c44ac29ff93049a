"""Counting a stretch of the log by minute: what was recorded, handled, failed and caused."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import (
    ColumnElement,
    Connection,
    Integer,
    Row,
    Table,
    and_,
    case,
    exists,
    func,
    literal_column,
    or_,
    select,
    tuple_,
)

from eventbus.histogram import BOUNDS_US
from eventbus.log import schema

_events, _deliveries, _attempts = schema.events, schema.deliveries, schema.attempts
_open, _positions = schema.flow_open, schema.flow_positions

Edge = tuple[str, int, str]
"""A type, the id of a subscription that handled it or 0, what that caused or ""."""

HAPPENED, FAILED, TOOK = 0, 1, 100
"""What is counted of an edge: events, failed attempts, and from ``TOOK`` on successes by bucket."""

UNFINISHED = ("pending", "retrying")
_MINUTE_US = 60_000_000
_HANDLERS = "/handlers/"  # how the source of an event that a handler published begins


@dataclass(slots=True)
class Tally:
    """What a step adds: ``counts`` by edge, minute (s since the epoch) and measure.

    ``opened`` are deliveries that were passed unfinished and ``updated`` those that have failed
    once more, with the attempts counted by now; ``closed`` those that are over, with the version
    that was seen.
    """

    counts: Counter[tuple[Edge, int, int]] = field(default_factory=Counter)
    positions: dict[int, int] = field(default_factory=dict)
    opened: list[tuple[int, int, int]] = field(default_factory=list)
    updated: list[tuple[int, int, int]] = field(default_factory=list)
    closed: list[tuple[int, int, int]] = field(default_factory=list)

    @property
    def is_empty(self) -> bool:
        return not (self.counts or self.positions or self.opened or self.updated or self.closed)


def _minute(column: ColumnElement[int]) -> ColumnElement[int]:
    return column // _MINUTE_US * 60


def _bucket(
    column: ColumnElement[int], low: int = 0, high: int = len(BOUNDS_US)
) -> ColumnElement[int]:
    """The bucket of a duration, by halving: seven comparisons a row."""
    if low == high:
        return literal_column(str(low), Integer)
    middle = (low + high) // 2
    return case(
        (column <= literal_column(str(BOUNDS_US[middle])), _bucket(column, low, middle)),
        else_=_bucket(column, middle + 1, high),
    )


_TOOK = _bucket(_deliveries.c.duration_us).label("took")
_ENDED = _minute(_attempts.c.started_us + _attempts.c.duration_us)


def tally_events(
    conn: Connection, tally: Tally, names: dict[str, int], after: int, upto: int
) -> None:
    """Events with ``after < sequence <= upto``, and which handler caused them.

    ``names`` are the ids of all subscriptions by name.
    """
    stretch = and_(_events.c.sequence > after, _events.c.sequence <= upto)  # primary key
    minute = _minute(_events.c.recorded_us).label("minute")
    recorded = select(_events.c.type, minute, func.count()).where(stretch)
    for type, at, count in conn.execute(recorded.group_by(_events.c.type, "minute")):
        tally.counts[(type, 0, ""), at, HAPPENED] += count
    cause = _events.alias("cause")
    cause_type = (  # uq_events_id_source
        select(cause.c.type).where(cause.c.id == _events.c.causationid).limit(1).scalar_subquery()
    ).label("cause_type")
    caused = (
        select(cause_type, _events.c.source, _events.c.type, minute, func.count())
        .where(stretch, _events.c.causationid.is_not(None))
        .group_by("cause_type", _events.c.source, _events.c.type, "minute")
    )
    for by_type, source, type, at, count in conn.execute(caused):
        if by_type is not None:  # None when retention has removed it
            is_handlers = source.startswith(_HANDLERS)
            by = names.get(source.removeprefix(_HANDLERS), 0) if is_handlers else 0
            tally.counts[(by_type, by, type), at, HAPPENED] += count


def unfinished_between(
    conn: Connection, subscriptions: Collection[int], after: int, upto: int
) -> dict[int, int]:
    """How many deliveries of each subscription are unfinished in a stretch."""
    query = (
        select(_deliveries.c.subscription, func.count())
        .where(*_stretch(subscriptions, after, upto), _deliveries.c.state.in_(UNFINISHED))
        .group_by(_deliveries.c.subscription)
    )
    return {row[0]: row[1] for row in conn.execute(query)}


def noted_between(conn: Connection, subscriptions: Collection[int], after: int, upto: int) -> int:
    """How many deliveries in a stretch are noted as open."""
    query = select(func.count()).where(  # primary key
        _open.c.sequence > after, _open.c.sequence <= upto, _open.c.subscription.in_(subscriptions)
    )
    return conn.execute(query).scalar() or 0


def tally_deliveries(
    conn: Connection, tally: Tally, subscriptions: Collection[int], after: int, upto: int
) -> None:
    """Deliveries in a stretch: successes, failed attempts, and which are still open.

    Those that are noted as open already, because they were made pending again, are left out.
    """
    d, a = _deliveries.c, _attempts.c
    is_noted = noted_between(conn, subscriptions, after, upto) > 0
    minute = _minute(d.finished_us).label("minute")
    succeeded = (
        select(_events.c.type, d.subscription, minute, _TOOK, func.count())
        .join_from(_deliveries, _events, d.sequence == _events.c.sequence)
        .where(
            *_stretch(subscriptions, after, upto),
            d.state == "succeeded",
            *(_not_noted(_deliveries) if is_noted else ()),
        )  # fmt: skip
        .group_by(_events.c.type, d.subscription, "minute", "took")
    )
    for type, subscription, at, bucket, count in conn.execute(succeeded):
        if at is not None:  # None in a row that no attempt has written
            tally.counts[(type, subscription, ""), at, TOOK + bucket] += count
    failed = (
        select(_events.c.type, a.subscription, _ENDED.label("minute"), func.count())
        .join_from(_attempts, _events, a.sequence == _events.c.sequence)
        .where(
            a.sequence > after,
            a.sequence <= upto,
            a.subscription.in_(subscriptions),
            *(_not_noted(_attempts) if is_noted else ()),
        )  # fmt: skip
        .group_by(_events.c.type, a.subscription, "minute")
    )
    for type, subscription, at, count in conn.execute(failed):
        tally.counts[(type, subscription, ""), at, FAILED] += count
    counted = (
        select(func.coalesce(func.max(a.number), 0))
        .where(a.sequence == d.sequence, a.subscription == d.subscription)
        .scalar_subquery()
    )
    still_open = select(d.sequence, d.subscription, counted).where(
        *_stretch(subscriptions, after, upto), d.state.in_(UNFINISHED),
        *(_not_noted(_deliveries) if is_noted else ()),
    )  # fmt: skip
    tally.opened += [(row[0], row[1], row[2]) for row in conn.execute(still_open)]


def tally_open(
    conn: Connection, tally: Tally, after: tuple[int, int], limit: int
) -> tuple[int, int] | None:
    """What has become of up to ``limit`` open deliveries; where to go on, None at the end."""
    d, a, o = _deliveries.c, _attempts.c, _open.c
    keys = (
        select(o.sequence, o.subscription)
        .where(tuple_(o.sequence, o.subscription) > after)
        .order_by(o.sequence, o.subscription)
        .limit(limit)
    )
    edge = conn.execute(keys.offset(limit - 1).limit(1)).first()
    upto = (2**62, 0) if edge is None else (edge.sequence, edge.subscription)
    window = and_(
        tuple_(o.sequence, o.subscription) > after, tuple_(o.sequence, o.subscription) <= upto
    )
    newest = (
        select(func.max(a.number))
        .where(a.sequence == o.sequence, a.subscription == o.subscription)
        .scalar_subquery()
    )
    rows = conn.execute(
        select(
            o.sequence,
            o.subscription,
            o.attempts,
            o.version,
            _events.c.type,
            d.state,
            _minute(d.finished_us).label("minute"),
            _TOOK,
            newest.label("newest"),
        )  # fmt: skip
        .select_from(_open)
        .outerjoin(_deliveries, and_(d.sequence == o.sequence, d.subscription == o.subscription))
        .outerjoin(_events, _events.c.sequence == o.sequence)
        .join(_positions, _positions.c.subscription == o.subscription)
        .where(
            window,
            o.sequence <= _positions.c.position,  # else it is to be passed first
            or_(d.state.is_(None), d.state.not_in(UNFINISHED), newest > o.attempts),
        )
    ).all()
    for row in rows:
        if row.type is not None and (row.newest or 0) > row.attempts:
            _tally_attempts(conn, tally, (row.type, row.subscription, ""), row)
            tally.updated.append((row.sequence, row.subscription, row.newest))
        if row.state == "succeeded" and row.minute is not None:
            tally.counts[(row.type, row.subscription, ""), row.minute, TOOK + row.took] += 1
        if row.state not in UNFINISHED:
            tally.closed.append((row.sequence, row.subscription, row.version))
    return None if edge is None else upto


def _tally_attempts(conn: Connection, tally: Tally, edge: Edge, row: Row[Any]) -> None:
    a = _attempts.c
    ended = select(_ENDED).where(
        a.sequence == row.sequence,
        a.subscription == row.subscription,
        a.number > row.attempts,
    )
    for (at,) in conn.execute(ended):
        tally.counts[edge, at, FAILED] += 1


def _not_noted(table: Table) -> Sequence[ColumnElement[bool]]:
    return (
        ~exists().where(  # primary key
            _open.c.sequence == table.c.sequence, _open.c.subscription == table.c.subscription
        ),
    )


def _stretch(
    subscriptions: Collection[int], after: int, upto: int
) -> Sequence[ColumnElement[bool]]:
    return (  # primary key
        _deliveries.c.sequence > after,
        _deliveries.c.sequence <= upto,
        _deliveries.c.subscription.in_(subscriptions),
    )
