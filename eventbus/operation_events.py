"""What operations tell of themselves: the events of their beginning and their end."""

from __future__ import annotations

from datetime import datetime

from eventbus.actor import signed
from eventbus.event import Event
from eventbus.hurrying import MOST_NAMED
from eventbus.log.values import Operation


def told(
    operation: Operation, what: str, at: datetime, id: str | None = None, **more: object
) -> Event:
    """The event ``bus.<kind>.<what>``; that of the beginning has the ``id``, and causes others."""
    selection = operation.selection
    for name, each in selection.items():
        if isinstance(each, list) and len(each) > MOST_NAMED:
            selection = {**selection, name: each[:MOST_NAMED], "more": len(each) - MOST_NAMED}
    data = {
        "operation": operation.id, **signed(operation.by), "reason": operation.reason,
        "selection": selection, "rate": operation.rate, "total": operation.total, **more,
    }  # fmt: skip
    begun = None if id is not None else operation.event_id
    return Event.create(
        f"bus.{operation.kind}.{what}",
        {name: value for name, value in data.items() if value is not None},
        id=id, subject=f"operation-{operation.id}", time=at,
        correlationid=begun, causationid=begun,
    )  # fmt: skip
