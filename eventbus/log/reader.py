"""Reading the log: single events, streams in order, traces, counts."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime

from sqlalchemy import select, text

from eventbus.event import Event
from eventbus.log import event_filter, schema
from eventbus.log.counts import TypeCount, count_all, count_types, newest_before
from eventbus.log.database import Database
from eventbus.log.event_filter import EventFilter
from eventbus.log.known_types import KnownTypes, type_matches
from eventbus.log.rows import MOST_CHARS, event_from_row
from eventbus.log.values import Chunk, EventQuery, Trace, TypeSeen
from eventbus.patterns import Pattern
from eventbus.timestamps import from_microseconds, to_microseconds

_events = schema.events

# ix_events_type: one look-up a type, of so many types in one statement.
_NEWEST = (
    "SELECT type, sequence, time_us FROM (VALUES {}) AS names JOIN events ON sequence = "
    "(SELECT max(sequence) FROM events WHERE type = column1)"
)
_TYPES = 500
# Positions that one reading by pattern goes through.
_STEP = 20_000


class Reader:
    """Queries on events; every one is bounded and can be called from any thread."""

    def __init__(
        self, database: Database, last_sequence: Callable[[], int], types: KnownTypes
    ) -> None:
        self._database = database
        self._last_sequence = last_sequence
        self._types = types

    def get(self, event_id: str, source: str | None = None) -> Event | None:
        """The event with this id (the newest, should several sources share it)."""
        query = select(_events).where(_events.c.id == event_id)  # uq_events_id_source
        if source is not None:
            query = query.where(_events.c.source == source)
        with self._database.reading() as conn:
            row = conn.execute(query.order_by(_events.c.sequence.desc()).limit(1)).first()
        return None if row is None else event_from_row(row)

    def get_by_sequence(self, sequence: int) -> Event | None:
        with self._database.reading() as conn:
            row = conn.execute(select(_events).where(_events.c.sequence == sequence)).first()
        return None if row is None else event_from_row(row)

    def read(
        self, after: int, limit: int = 1000, pattern: Pattern | None = None, upto: int | None = None
    ) -> Chunk:
        """The next events after sequence ``after``, ascending, at most ``limit``.

        Fewer when their payloads are large. Complete for ``pattern`` up to the answer's
        ``position``; when few events match, that may lie before the log's end with no event at
        all: call again from there.
        """
        end = self._last_sequence() if upto is None else min(upto, self._last_sequence())
        if pattern is not None and not pattern.matches_all:
            # Rows are cheap to walk and dear to build: take those of matching types only.
            end = min(end, after + _STEP)
        wanted = EventFilter.of(EventQuery(pattern), self._types)
        found: list[Event] = []
        chars = 0
        with (
            self._database.reading() as conn,
            event_filter.opened(conn, wanted, after, end + 1, "asc", limit) as rows,
        ):
            for row in rows:
                found.append(event_from_row(row))
                chars += len(row.data)
                if len(found) == limit or chars >= MOST_CHARS:
                    return Chunk(found, row.sequence)
        return Chunk(found, max(after, end))

    def trace(self, event_id: str, limit: int = 1000) -> Trace | None:
        """All events of the correlation that ``event_id`` belongs to; None for an unknown id."""
        event = self.get(event_id)
        if event is None:
            return None
        root = event.correlationid
        first = select(_events).where(_events.c.id == root)  # uq_events_id_source
        others = select(_events).where(  # ix_events_correlation
            _events.c.correlationid == root, _events.c.correlationid != _events.c.id
        )
        with self._database.reading() as conn:
            # More than one when several sources share the id.
            rows = list(conn.execute(first.order_by(_events.c.sequence).limit(limit + 1)))
            rows += conn.execute(others.order_by(_events.c.sequence).limit(limit + 1)).all()
        found = sorted((event_from_row(row) for row in rows), key=_position)
        return Trace(found[:limit], truncated=len(found) > limit)

    def types(self) -> list[TypeSeen]:
        """The types in the log with their newest events, by name; at most ``MOST_KNOWN``."""
        names = sorted(self._types.names())
        seen = []
        with self._database.reading() as conn:
            for start in range(0, len(names), _TYPES):
                some = {f"type_{n}": name for n, name in enumerate(names[start : start + _TYPES])}
                values = ", ".join(f"(:{name})" for name in some)
                for row in conn.execute(text(_NEWEST.format(values)), some):
                    seen.append(TypeSeen(row.type, row.sequence, from_microseconds(row.time_us)))
        seen.sort(key=lambda each: each.type)
        return seen

    def counts(self, after: int, upto: int, pattern: Pattern | None = None) -> list[TypeCount]:
        """Exact counts by type of ``after < sequence <= upto``, newest type first.

        With more types than are known, one count under the pattern stands for all of them.
        """
        pattern = pattern or Pattern("#")
        wanted = self._types.matching(pattern)
        with self._database.reading() as conn:
            if wanted is None:
                where = None if pattern.matches_all else type_matches(self._types, pattern)
                return count_all(conn, pattern.text, where, after, upto)
            return count_types(conn, wanted, after, upto)

    def newest_before(self, moment: datetime) -> int:
        """The sequence of the event that happened last before an aware time; 0 for none."""
        with self._database.reading() as conn:
            return newest_before(conn, to_microseconds(moment))


def _position(event: Event) -> int:
    return event.sequence or 0
