"""Who publishes a type, and payloads of it: read off its newest events, however many there are."""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any

from sqlalchemy import func, select

from eventbus import lens
from eventbus.log import schema
from eventbus.timestamps import from_microseconds

if TYPE_CHECKING:
    from eventbus.log.eventlog import EventLog

_events = schema.events

LOOKED_AT = 200
_MOST_PAYLOAD_CHARS = 65_536


@dataclass(frozen=True, slots=True)
class SourceSeen:
    """A source of the newest events: how many of them, and the newest."""

    source: str
    count: int
    last_sequence: int
    last_at: datetime


def sources(log: EventLog, type: str, limit: int = LOOKED_AT) -> list[SourceSeen]:
    """The sources of the newest ``limit`` events of exactly this type, the latest first."""
    newest = (  # ix_events_type
        select(_events.c.source, _events.c.sequence, _events.c.time_us)
        .where(_events.c.type == type)
        .order_by(_events.c.sequence.desc())
        .limit(limit)
        .subquery()
    )
    query = (
        select(
            newest.c.source, func.count(), func.max(newest.c.sequence), func.max(newest.c.time_us)
        )
        .group_by(newest.c.source)
        .order_by(func.max(newest.c.sequence).desc())
    )
    with log.reading() as conn:
        return [
            SourceSeen(source, count, sequence, from_microseconds(time_us))
            for source, count, sequence, time_us in conn.execute(query)
        ]


def payloads(log: EventLog, type: str, limit: int = 100) -> list[dict[str, Any]]:
    """The newest payloads of exactly this type that are there and not too large.

    As they are to be shown in this thread (``eventbus.lens``).
    """
    query = (  # ix_events_type
        select(_events.c.data)
        .where(_events.c.type == type)
        .order_by(_events.c.sequence.desc())
        .limit(limit)
    )
    with log.reading() as conn:
        texts = conn.execute(query).scalars().all()
    return [
        json.loads(lens.text(type, text))
        for text in texts
        if text and len(text) <= _MOST_PAYLOAD_CHARS
    ]
