"""The newest events of one edge of the flow: what a subscription got, or what it caused."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any

from sqlalchemy import ColumnElement, Connection, Row, Select, and_, func, select

from eventbus import lens
from eventbus.log import schema
from eventbus.log.known_types import matches_rows
from eventbus.log.removals import recorded_before
from eventbus.patterns import Pattern
from eventbus.timestamps import from_microseconds, to_microseconds

if TYPE_CHECKING:
    from eventbus.log.eventlog import EventLog

_events, _deliveries, _attempts = schema.events, schema.deliveries, schema.attempts
_subscriptions = schema.subscriptions

# Events that one look goes through; then it answers with what it has found.
_MOST_LOOKED_AT = 5_000


@dataclass(frozen=True, slots=True)
class EdgeEvent:
    """An event of an edge; what is of its delivery there is None for one that was caused."""

    sequence: int
    type: str
    subject: str
    time: datetime
    state: str | None
    attempt: int
    duration_ms: float | None
    error_class: str | None
    error_message: str | None


@dataclass(frozen=True, slots=True)
class EdgeEvents:
    """Newest first; ``next`` is the sequence before which there may be more, None at the end."""

    events: list[EdgeEvent]
    next: int | None


@dataclass(frozen=True, slots=True)
class EdgeQuery:
    """``pattern`` is of the events' type; with ``is_caused`` they came from ``subscription``.

    Without a subscription: events that name their cause and come from no handler. ``is_failed``:
    only those of which an attempt has failed.
    """

    pattern: Pattern
    subscription: str | None
    since: datetime
    until: datetime
    is_caused: bool = False
    is_failed: bool = False
    before: int | None = None
    limit: int = 100


def edge_events(log: EventLog, query: EdgeQuery) -> EdgeEvents:
    """Events that were recorded in the window, at most ``limit``."""
    with log.reading() as conn:
        last = log.last_sequence
        low = recorded_before(conn, to_microseconds(query.since), last)
        high = recorded_before(conn, to_microseconds(query.until), last) + 1
        high = min(high, query.before or high)
        window = _window(conn, query, low, high)
        if window is None:
            return EdgeEvents([], None)
        looked_at, edge = conn.execute(
            select(func.count(), func.min(window.c.sequence)).select_from(window)
        ).one()
        rows = conn.execute(_rows(query, window).limit(query.limit + 1)).all()
    found = [_from_row(row) for row in rows[: query.limit]]
    if len(rows) > query.limit:
        return EdgeEvents(found, found[-1].sequence)
    return EdgeEvents(found, edge if looked_at == _MOST_LOOKED_AT else None)


def _window(conn: Connection, query: EdgeQuery, low: int, high: int) -> Any:
    """The sequences that are looked at."""
    if query.is_failed and query.subscription is not None:
        id = conn.execute(
            select(_subscriptions.c.id).where(_subscriptions.c.name == query.subscription)
        ).scalar()
        if id is None:
            return None
        a = _attempts.c
        walk = (  # ix_attempts_subscription
            select(a.sequence)
            .where(a.subscription == id, a.sequence > low, a.sequence < high)
            .group_by(a.sequence)
            .order_by(a.sequence.desc())
        )
        return walk.limit(_MOST_LOOKED_AT).subquery()
    conditions: list[ColumnElement[bool]] = [_events.c.sequence > low, _events.c.sequence < high]
    if query.pattern.is_literal:
        conditions.append(_events.c.type == query.pattern.text)  # ix_events_type
    walk = select(_events.c.sequence).where(*conditions).order_by(_events.c.sequence.desc())
    return walk.limit(_MOST_LOOKED_AT).subquery()


def _rows(query: EdgeQuery, window: Any) -> Select[Any]:
    e, d = _events.c, _deliveries.c
    matches = (
        e.type == query.pattern.text if query.pattern.is_literal else matches_rows(query.pattern)
    )
    columns = (e.sequence, e.type, e.subject, e.time_us)
    if query.is_caused or query.subscription is None:
        source = e.source.startswith("/handlers/", autoescape=True)
        if query.subscription is not None:
            source = e.source == f"/handlers/{query.subscription}"
        elif not query.is_caused:
            raise ValueError("without a subscription only what was caused can be asked for")
        else:
            source = ~source
        caused: Select[Any] = select(*columns).join_from(
            window, _events, e.sequence == window.c.sequence
        )
        return caused.where(matches, e.causationid.is_not(None), source).order_by(e.sequence.desc())
    rows = (
        select(*columns, d.state, d.attempt, d.duration_us, d.error_class, d.error_message)
        .join_from(window, _events, e.sequence == window.c.sequence)
        .join(_deliveries, d.sequence == e.sequence)
        .join(
            _subscriptions,
            and_(
                _subscriptions.c.id == d.subscription, _subscriptions.c.name == query.subscription
            ),
        )
    )
    return rows.where(matches).order_by(e.sequence.desc())


def _from_row(row: Row[Any]) -> EdgeEvent:
    of_delivery = row._mapping
    duration_us = of_delivery.get("duration_us")
    return EdgeEvent(
        row.sequence, row.type, row.subject, from_microseconds(row.time_us),
        of_delivery.get("state"), of_delivery.get("attempt", 0),
        None if duration_us is None else duration_us / 1_000,
        of_delivery.get("error_class"),
        None if lens.hides(row.type) else of_delivery.get("error_message"),
    )  # fmt: skip
