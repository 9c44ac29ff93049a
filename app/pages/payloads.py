"""Example payloads for the publish form: what is declared, else what was recorded."""

from __future__ import annotations

from typing import Any

from eventbus import Event, EventBus
from eventbus.log import EventLog, EventQuery
from eventbus.patterns import Pattern

OFFERED = (
    "evaluation.started", "evaluation.progress", "evaluation.completed", "evaluation.failed",
    "queue.task.added", "queue.task.processed", "monitoring.metric.recorded",
    "storage.file.created", "alert.critical",
)  # fmt: skip
"""What most people begin with, in an order that tells a story."""


def example_for(bus: EventBus, type: str) -> dict[str, Any]:
    """What a payload of this type looks like: the declared one, else the newest, else empty."""
    declared = None if bus.catalogue is None else bus.catalogue.find(type).declaration
    if declared is not None and declared.example is not None:
        return dict(declared.example)
    newest = newest_of(bus.log, type)
    return newest.data if newest else {}


def newest_of(log: EventLog, type: str) -> Event | None:
    """The newest event of exactly this type, None when there is none or the type is no type."""
    try:
        pattern = Pattern(type)
    except ValueError:
        return None
    if not pattern.is_literal:
        return None
    found = log.query(EventQuery(pattern=pattern, limit=1)).events
    return found[0] if found else None
