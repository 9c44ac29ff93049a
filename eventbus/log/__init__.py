"""The durable log: what is recorded, how it is committed, how it is read again."""

from eventbus.log.counts import TypeCount
from eventbus.log.eventlog import EventLog
from eventbus.log.selections import Replayed, Selection
from eventbus.log.values import (
    Attempt,
    Chunk,
    Delivery,
    DeliveryPage,
    EventPage,
    EventQuery,
    Intervention,
    Operation,
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
    "Operation",
    "Replayed",
    "Selection",
    "Trace",
    "TypeCount",
    "TypeSeen",
]
