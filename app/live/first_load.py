"""What the live page shows before its WebSocket is open: the same things, from the same sources."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from app.live.panels import panel_contexts, slow_contexts
from eventbus import Event, Pattern
from eventbus.lens import looking_through
from eventbus.log import EventQuery

if TYPE_CHECKING:
    from app.live.hub import LiveHub
    from eventbus import EventBus
    from handlers import Handlers

_ROWS = 100
# Just after the start of a server with millions of events; what is not counted then comes later.
_COUNTING_S = 1.0


@dataclass(frozen=True, slots=True)
class FirstLoad:
    """The newest matching events, newest first, with nothing newer up to ``sequence``.

    ``panels`` has the context of each panel's partial by its name; ``boot`` and ``sequence`` are
    what the page's WebSocket has to begin with.
    """

    rows: Sequence[Event]
    sequence: int
    boot: str
    panels: dict[str, dict[str, Any]]


def first_load(bus: EventBus, handlers: Handlers, hub: LiveHub, pattern: Pattern) -> FirstLoad:
    """The page's state now."""
    sequence = bus.log.last_sequence
    newest = bus.log.query(EventQuery(pattern=pattern, before=sequence + 1, limit=_ROWS))
    hub.traffic.wait_filled(_COUNTING_S)
    with looking_through(hub.panel_lens()):  # as the socket brings them to everybody
        panels = panel_contexts(bus, handlers, hub.rate())
    panels |= slow_contexts(hub.traffic, hub.trends)
    return FirstLoad(newest.events, sequence, hub.boot, panels)
