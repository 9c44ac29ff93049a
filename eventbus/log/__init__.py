"""The durable log: what is recorded, how it is committed, how it is read again."""

from eventbus.log.counts import TypeCount
from eventbus.log.eventlog import EventLog
from eventbus.log.values import (
    Attempt,
    Chunk,
    Delivery,
    DeliveryPage,
    EventPage,
    EventQuery,
    Intervention,
    Selection,
    Trace,
    TypeSeen,
)

__all__ = [
    "Attempt",
    "Chunk",
    "Delivery",
    "DeliveryPage",
    "EventLog",
    "EventPage",
    "EventQuery",
    "Intervention",
    "Selection",
    "Trace",
    "TypeCount",
    "TypeSeen",
]
