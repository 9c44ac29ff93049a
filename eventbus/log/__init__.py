"""The durable log: what is recorded, how it is committed, how it is read again."""

from importlib.util import find_spec

from eventbus.errors import MissingPackageError

if find_spec("sqlalchemy") is None:
    raise MissingPackageError(
        "a bus with a log needs the package SQLAlchemy: pip install 'eventbus[server]' "
        "(RemoteEventBus needs none)"
    )

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
