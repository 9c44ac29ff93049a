"""Events that tell what somebody did: from outside they come in the name of whoever sends them."""

from __future__ import annotations

from typing import Any

from app.access.audit import AUDIT_TYPES
from eventbus import Event
from eventbus.actor import Actor, signed
from eventbus.catalogue.fields import BY, WHO
from eventbus.catalogue.own import TYPES as OWN_TYPES
from eventbus.scheduled import ScheduledEvent
from eventbus.validation import encode_json
from handlers.types import TYPES as HANDLER_TYPES


def is_own(type: str) -> bool:
    """Whether events of the type tell of the bus itself, so that only the server has them to say.

    ``bus.*`` has acts of people as well: pauses, redrives, rebuilds.
    """
    return type in AUDIT_TYPES or type.startswith("bus.")


ACTS = frozenset(
    each.type
    for each in (*OWN_TYPES, *HANDLER_TYPES)
    if not is_own(each.type) and (each.schema or {}).get("properties", {}).get("by") in (BY, WHO)
) | {"subscription.ended"}
"""The types that others may publish too, and whose ``by`` the pages show as who did it."""


def in_name_of(event: Event, actor: Actor) -> Event:
    """The event with ``by`` and ``from`` of ``actor``, whatever it had there."""
    data: dict[str, Any] = {key: value for key, value in event.data.items() if key != "from"}
    changed = event.evolve(data_json=encode_json({**data, **signed(actor)}))
    if isinstance(event, ScheduledEvent):
        return ScheduledEvent.of(changed, delay=event.delay, at=event.at, is_timed=event.is_timed)
    return changed
