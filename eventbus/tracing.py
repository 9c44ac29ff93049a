"""What traces the bus: asked when an event is published and when a handler runs, if there is any.

The library knows OpenTelemetry by this protocol alone; eventbus/integrations/opentelemetry.py is
what it is in practice. Without any, ``traceparent`` is still carried from an event to those that
its handlers publish.
"""

from __future__ import annotations

from collections.abc import Sequence, Set
from contextlib import AbstractContextManager
from typing import Any, Protocol

from eventbus.event import Event
from eventbus.scheduled import ScheduledEvent


class Recording(Protocol):
    """Events that are recorded together, as eventbus/log/unit.py has them."""

    events: list[Event]
    duplicates: Set[int]
    error: Exception | None
    span: Any


class Attempt(Protocol):
    """A handler's run, while it is traced."""

    def created(self, event: Event) -> Event:
        """The further event as it is to be recorded: with the traceparent of its creation."""


class Tracing(Protocol):
    """Any thread may call it; nothing of it may block or raise."""

    def created(self, event: Event) -> Event:
        """An event that is about to be sent elsewhere, with the traceparent of its creation."""

    def publishing(self, unit: Recording, later: Sequence[Any] = ()) -> None:
        """Events are about to be recorded, and requests to record some ``later``; give those
        without a traceparent one. ``unit.span`` is for the tracing to use."""

    def committed(self, units: Sequence[Recording], took_us: int, event_count: int) -> None:
        """Units were recorded, or could not be; under the commit lock."""

    def handling(
        self, event: Event, subscription: str, attempt: int | None
    ) -> AbstractContextManager[Attempt]:
        """A handler runs within the block; what it raises is its failure."""


def with_traceparent(event: Event, traceparent: str) -> Event:
    """The same event as part of a trace (CloudEvents extension "Distributed Tracing")."""
    changed = event.evolve(traceparent=traceparent)
    if isinstance(event, ScheduledEvent):
        return ScheduledEvent.of(changed, delay=event.delay, at=event.at, is_timed=event.is_timed)
    return changed
