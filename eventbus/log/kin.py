"""The events of one correlation as a page draws them: without payloads, with all deliveries."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence

from sqlalchemy import Connection, Text, literal, select

from eventbus.log import schema
from eventbus.log.deliveries import joined, values_of
from eventbus.log.rows import event_from_row
from eventbus.log.values import Delivery, Trace

_events, _deliveries, _subscriptions = schema.events, schema.deliveries, schema.subscriptions
# A payload may be a quarter of a megabyte, of which a tree of hundreds of events shows nothing.
_OUTLINE = [column for column in _events.c if column.name != "data"]
_NO_DATA = literal("{}", Text).label("data")
_AT_ONCE = 500


def kin(conn: Connection, correlationid: str, limit: int) -> Trace:
    """The events of a correlation in order, the first ``limit``; their payloads are left out."""
    outline = select(*_OUTLINE, _NO_DATA).order_by(_events.c.sequence).limit(limit + 1)
    first = outline.where(_events.c.id == correlationid)  # uq_events_id_source
    others = outline.where(  # ix_events_correlation
        _events.c.correlationid == correlationid, _events.c.correlationid != _events.c.id
    )
    rows = [*conn.execute(first), *conn.execute(others)]
    found = sorted((event_from_row(row) for row in rows), key=lambda event: event.sequence or 0)
    return Trace(found[:limit], truncated=len(found) > limit)


def deliveries_of(conn: Connection, sequences: Sequence[int]) -> dict[int, list[Delivery]]:
    """The durable deliveries of several events, each event's by subscription name."""
    found: defaultdict[int, list[Delivery]] = defaultdict(list)
    for start in range(0, len(sequences), _AT_ONCE):
        some = sequences[start : start + _AT_ONCE]
        query = joined().where(_deliveries.c.sequence.in_(some))  # primary key
        for delivery in values_of(conn, conn.execute(query.order_by(_subscriptions.c.name)).all()):
            found[delivery.sequence].append(delivery)
    return found
