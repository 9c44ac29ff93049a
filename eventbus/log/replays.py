"""Walking and counting the recorded events that a replay is about."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from sqlalchemy import ColumnElement, case, func, select

from eventbus.event import Event
from eventbus.log import schema
from eventbus.log.database import Database
from eventbus.log.known_types import KnownTypes, type_matches
from eventbus.log.rows import whole_event_from_row
from eventbus.log.selections import Replayed
from eventbus.patterns import Pattern
from eventbus.timestamps import to_microseconds

_events, _deliveries = schema.events, schema.deliveries

# Positions of the log that one query looks at.
_STEP = 10_000
# A replay leaves alone what is to be done anyway, and what somebody has thrown away.
LEFT_ALONE = ("pending", "retrying", "discarded")


@dataclass(frozen=True, slots=True)
class Stretch:
    """A part of the log, ``first`` and ``last`` inclusive; empty when they are the wrong way."""

    first: int
    last: int


class ReplayReader:
    """Queries for replays; every one is bounded and can be called from any thread."""

    def __init__(self, database: Database, types: KnownTypes) -> None:
        self._database = database
        self._types = types

    def stretch(self, replayed: Replayed, end: int) -> Stretch:
        """Where its events lie in a log that ends with sequence ``end``."""
        first = max(1, replayed.first or 1)
        last = end if replayed.last is None else min(replayed.last, end)
        times = _times(replayed)
        if times:
            query = select(func.min(_events.c.sequence), func.max(_events.c.sequence))
            with self._database.reading() as conn:  # ix_events_time alone answers it
                low, high = conn.execute(query.where(*times)).one()
            if low is None:
                return Stretch(1, 0)
            first, last = max(first, low), min(last, high)
        return Stretch(first, last)

    def next(
        self, replayed: Replayed, own: Pattern, after: int, last: int, limit: int
    ) -> tuple[list[Event], int]:
        """The next events after a sequence, ascending, and how far the log was looked at.

        ``own`` is the subscription's own pattern.
        """
        upto = min(last, after + _STEP)
        query = select(_events).where(*self._conditions(replayed, own, after, upto))
        with self._database.reading() as conn:
            rows = conn.execute(query.order_by(_events.c.sequence).limit(limit)).all()
        found = [whole_event_from_row(row) for row in rows]
        return found, rows[-1].sequence if len(rows) == limit else upto

    def count(
        self, replayed: Replayed, own: Pattern, subscription: int, stretch: Stretch
    ) -> tuple[int, int]:
        """How many events it selects, and how many of them it will skip."""
        total = skipped = 0
        position = stretch.first - 1
        while position < stretch.last:
            upto = min(stretch.last, position + _STEP)
            query = self._counted(replayed, own, subscription, position, upto)
            with self._database.reading() as conn:
                row = conn.execute(query).one()
            total += row[0]
            skipped += row[1]
            position = upto
        return total, skipped

    def _counted(
        self, replayed: Replayed, own: Pattern, subscription: int, after: int, upto: int
    ) -> Any:
        same = (_deliveries.c.sequence == _events.c.sequence) & (  # primary key
            _deliveries.c.subscription == subscription
        )
        is_skipped = _deliveries.c.state.in_(LEFT_ALONE) | (_events.c.data == "")  # its payload
        left_alone = func.count(case((is_skipped, 1)))
        return (
            select(func.count(), left_alone)
            .select_from(_events.outerjoin(_deliveries, same))
            .where(*self._conditions(replayed, own, after, upto))
        )

    def _conditions(
        self, replayed: Replayed, own: Pattern, after: int, upto: int
    ) -> list[ColumnElement[bool]]:
        conditions = [_events.c.sequence > after, _events.c.sequence <= upto, *_times(replayed)]
        for pattern in (own, replayed.pattern):
            if pattern is not None and not pattern.matches_all:
                conditions.append(type_matches(self._types, pattern))
        return conditions


def _times(replayed: Replayed) -> list[ColumnElement[bool]]:
    times: list[ColumnElement[bool]] = []
    if replayed.since is not None:
        times.append(_events.c.time_us >= to_microseconds(replayed.since))
    if replayed.until is not None:
        times.append(_events.c.time_us < to_microseconds(replayed.until))
    return times
