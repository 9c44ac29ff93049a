"""What traces the bus: asked when an event is published and when a handler runs, if there is any.

The library knows OpenTelemetry by this protocol alone; eventbus/integrations/opentelemetry.py is
what it is in practice. Without any, ``traceparent`` is still carried from an event to those that
its handlers publish, and ``tracestate`` with it (W3C Trace Context §3.3).
"""

from __future__ import annotations

from collections.abc import Sequence, Set
from contextlib import AbstractContextManager
from typing import Any, Protocol

from eventbus.event import Event
from eventbus.extensions import MAX_EXTENSIONS
from eventbus.scheduled import ScheduledEvent
from eventbus.validation import encode_json

TRACESTATE = "tracestate"


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


def with_trace(event: Event, traceparent: str | None, tracestate: str | None = None) -> Event:
    """The same event as part of a trace (CloudEvents extension "Distributed Tracing").

    A tracestate that the publisher gave it stays, and one beyond the extensions that an event may
    have is left out.
    """
    extensions_json = event.extensions_json
    if tracestate is not None:
        extensions = event.extensions
        if TRACESTATE not in extensions and len(extensions) < MAX_EXTENSIONS:
            extensions[TRACESTATE] = tracestate
            extensions_json = encode_json(dict(sorted(extensions.items())))
    changed = event.evolve(traceparent=traceparent, extensions_json=extensions_json)
    if isinstance(event, ScheduledEvent):
        return ScheduledEvent.of(changed, delay=event.delay, at=event.at, is_timed=event.is_timed)
    return changed


def tracestate_of(event: Event) -> str | None:
    """What goes with its traceparent, if it has both."""
    if event.traceparent is None or event.extensions_json is None:
        return None
    found = event.extensions.get(TRACESTATE)
    return found if isinstance(found, str) and found else None


def in_trace_of(cause: Event, event: Event) -> Event:
    """A further event that has the cause's traceparent, with what goes with it."""
    tracestate = tracestate_of(cause)
    return event if tracestate is None else with_trace(event, cause.traceparent, tracestate)
