"""The causation tree of a chain of events, from the flat list that the log gives."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from eventbus import Event

# Handlers stop at 32; producers can claim longer chains, and JSON cannot nest without end.
MAX_DEPTH = 64
_MILLISECOND = timedelta(milliseconds=1)


@dataclass(frozen=True, slots=True)
class _Place:
    """An event's place in the tree: where its own children go, and how deep that is."""

    event: Event
    children: list[dict[str, Any]]
    depth: int


def tree(events: Sequence[Event]) -> list[dict[str, Any]]:
    """The events below those that caused them, each level in sequence order.

    A node is ``{"event", "latency_ms", "children"}``; ``latency_ms`` is the time since its cause,
    None for a first one. An event whose cause is not in ``events`` is a root; what lies deeper
    than ``MAX_DEPTH`` stands beside its cause.
    """
    places: dict[str, _Place] = {}
    roots: list[dict[str, Any]] = []
    for event in sorted(events, key=lambda event: event.sequence or 0):
        cause = places.get(event.causationid or "")
        children: list[dict[str, Any]] = []
        node: dict[str, Any] = {"event": event, "latency_ms": None, "children": children}
        if cause is None:
            roots.append(node)
            place = _Place(event, children, 1)
        else:
            node["latency_ms"] = round((event.time - cause.event.time) / _MILLISECOND, 3)
            cause.children.append(node)
            is_deepest = cause.depth >= MAX_DEPTH
            place = _Place(event, cause.children if is_deepest else children, cause.depth + 1)
        places.setdefault(event.id, place)
    return roots
