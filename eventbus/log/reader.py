"""Reading the log: single events, streams in order, history by filter, traces."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, Connection, Select, func, select, union_all

from eventbus.event import Event
from eventbus.log import schema
from eventbus.log.counts import TypeCount, count_all, count_types, newest_before
from eventbus.log.cursor import decode_cursor, encode_cursor
from eventbus.log.database import Database
from eventbus.log.known_types import KnownTypes, type_matches
from eventbus.log.rows import MOST_CHARS, event_from_row
from eventbus.log.values import Chunk, EventPage, EventQuery, Trace, TypeSeen
from eventbus.patterns import Pattern
from eventbus.timestamps import from_microseconds, to_microseconds

_events = schema.events

# A query that must look into rows (text, times) looks at this many positions per step, and at
# this many in all before it answers with what it has and a cursor: at most about 0.3 s of work.
_STEP = 20_000
_MOST_SCANNED = 200_000
# With more matching types than this, walking the log in order beats one index walk per type.
_MOST_TYPES = 64


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
            where = (_events.c.sequence > after) & (_events.c.sequence <= end)
            query = select(_events).where(where, type_matches(self._types, pattern))
        else:
            query = select(_events).where(_events.c.sequence > after, _events.c.sequence <= end)
        found: list[Event] = []
        chars = 0
        query = query.order_by(_events.c.sequence).limit(limit)
        with self._database.reading() as conn, conn.execute(query) as rows:
            for row in rows:
                found.append(event_from_row(row))
                chars += len(row.data)
                if len(found) == limit or chars >= MOST_CHARS:
                    return Chunk(found, row.sequence)
        return Chunk(found, max(after, end))

    def query(self, query: EventQuery) -> EventPage:
        """One page of history. Raises CursorError for a cursor that is not of such a page."""
        low = 0 if query.after is None else max(0, query.after)
        high = self._last_sequence() + 1
        if query.before is not None:
            high = min(high, query.before)
        if query.cursor is not None:
            (position,) = decode_cursor(query.cursor, 1)
            if query.order == "desc":
                high = min(high, position)
            else:
                low = max(low, position)
        with self._database.reading() as conn:
            times = self._time_conditions(query)
            if times:
                low, high = self._time_bounds(conn, times, low, high)
            if high <= low + 1:
                return EventPage([], None)
            if times or query.text or self._tries_rows(query.pattern):
                return self._scan(conn, query, times, low, high)
            rows = self._page(conn, query, [], low, high, query.limit + 1)
        found = [event_from_row(row) for row in rows[: query.limit]]
        more = len(rows) > query.limit
        return EventPage(found, encode_cursor(_position(found[-1])) if more else None)

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
        seen = []
        with self._database.reading() as conn:
            for name in sorted(self._types.names()):
                newest = (  # ix_events_type: one look-up a type
                    select(_events.c.sequence, _events.c.time_us)
                    .where(_events.c.type == name)
                    .order_by(_events.c.sequence.desc())
                    .limit(1)
                )
                if row := conn.execute(newest).first():
                    seen.append(TypeSeen(name, row.sequence, from_microseconds(row.time_us)))
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

    def _tries_rows(self, pattern: Pattern | None) -> bool:
        """Whether the pattern can only be told by looking at every row."""
        return (
            pattern is not None
            and not pattern.matches_all
            and self._types.matching(pattern) is None
        )

    def _page(
        self, conn: Connection, query: EventQuery, extra: list[ColumnElement[bool]],
        low: int, high: int, limit: int,
    ) -> list[Any]:  # fmt: skip
        """Rows of ``low < sequence < high`` in the query's order, by the index that fits."""
        where = [_events.c.sequence > low, _events.c.sequence < high, *extra]
        if query.subject is not None:
            where.append(_events.c.subject == query.subject)  # ix_events_subject
        if query.correlation is not None:  # uq_events_id_source or ix_events_correlation
            root, rest = _events.c.id == query.correlation, (
                (_events.c.correlationid == query.correlation)
                & (_events.c.correlationid != _events.c.id)
            )  # fmt: skip
            where.append(root | rest)
        column = _events.c.sequence
        order = column.desc() if query.order == "desc" else column.asc()
        statement: Select[Any]
        if query.pattern is None or query.pattern.matches_all:
            statement = select(_events).where(*where)
        else:
            wanted = self._types.matching(query.pattern)
            by_index = query.subject is None and query.correlation is None and not extra
            if by_index and wanted is not None and len(wanted) <= _MOST_TYPES:
                if not wanted:
                    return []
                # ix_events_type: the newest of each type, then the newest of those
                parts = [
                    select(
                        select(_events).where(*where, _events.c.type == name)
                        .order_by(order).limit(limit).subquery()
                    )
                    for name in wanted
                ]  # fmt: skip
                merged = union_all(*parts).subquery()
                position = merged.c.sequence
                statement = select(merged)
                order = position.desc() if query.order == "desc" else position.asc()
            else:
                statement = select(_events).where(*where, type_matches(self._types, query.pattern))
        return list(conn.execute(statement.order_by(order).limit(limit)))

    def _scan(
        self, conn: Connection, query: EventQuery, times: list[ColumnElement[bool]],
        low: int, high: int,
    ) -> EventPage:  # fmt: skip
        extra = list(times)
        if query.text:
            extra.append(_events.c.data.contains(query.text, autoescape=True))
        found: list[Event] = []
        scanned = 0
        for start, end in _windows(low, high, query.order):
            rows = self._page(conn, query, extra, start, end, query.limit + 1 - len(found))
            found += [event_from_row(row) for row in rows]
            if len(found) > query.limit:
                last = found[query.limit - 1]
                return EventPage(found[: query.limit], encode_cursor(_position(last)), scanned)
            scanned += end - start - 1
            if scanned >= _MOST_SCANNED:
                edge = start + 1 if query.order == "desc" else end - 1
                is_end = edge <= low + 1 if query.order == "desc" else edge >= high - 1
                return EventPage(found, None if is_end else encode_cursor(edge), scanned)
        return EventPage(found, None, scanned)

    def _time_conditions(self, query: EventQuery) -> list[ColumnElement[bool]]:
        times: list[ColumnElement[bool]] = []
        if query.since is not None:
            times.append(_events.c.time_us >= to_microseconds(query.since))
        if query.until is not None:
            times.append(_events.c.time_us < to_microseconds(query.until))
        return times

    def _time_bounds(
        self, conn: Connection, times: list[ColumnElement[bool]], low: int, high: int
    ) -> tuple[int, int]:
        """The part of the log where events of these times are: most times, just those."""
        row = conn.execute(  # ix_events_time alone answers it
            select(func.min(_events.c.sequence), func.max(_events.c.sequence)).where(*times)
        ).one()
        if row[0] is None:
            return low, low
        return max(low, row[0] - 1), min(high, row[1] + 1)


def _position(event: Event) -> int:
    return event.sequence or 0


def _windows(low: int, high: int, order: str) -> Iterator[tuple[int, int]]:
    """Cut the open interval ``(low, high)`` into open intervals of ``_STEP`` positions."""
    if order == "desc":
        while high > low + 1:
            start = max(low, high - 1 - _STEP)
            yield start, high
            high = start + 1
    else:
        while high > low + 1:
            end = min(high, low + 1 + _STEP)
            yield low, end
            low = end - 1
