"""One page of the history by pattern, subject, chain, time and words, in both directions."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Literal, Protocol

from sqlalchemy import Connection, func, select

from eventbus.event import Event
from eventbus.lens import check_search
from eventbus.log import event_filter, schema
from eventbus.log.cursor import decode_place, encode_place
from eventbus.log.database import Database
from eventbus.log.event_filter import EventFilter
from eventbus.log.known_types import KnownTypes
from eventbus.log.matcher import matching
from eventbus.log.rows import event_from_row
from eventbus.log.values import EventPage, EventQuery
from eventbus.log.words import Words
from eventbus.timestamps import to_microseconds

# A query that must look into rows looks at this many positions per step, and at this many in
# all, or for words for so long, before it answers with what it has and a cursor.
_STEP = 20_000
_MOST_SCANNED = 200_000
_MOST_S = 0.12
# Where an index leads to the rows and only times are tried, a step is cheap.
_WIDE_STEP = 1_000_000
# Where words are looked for in a chain or about a subject, only those rows cost something.
_LED_STEP = 200_000
# Rows that are given to the matcher at once, with all their text.
_MATCHER_ROWS = 500
_CANDIDATES = 2_000

Order = Literal["desc", "asc"]


@dataclass(frozen=True, slots=True)
class Segment:
    """Events of ``low < sequence < high``; their words are in ``part`` of an index, or in none."""

    low: int
    high: int
    part: int | None = None


class IndexView(Protocol):
    """One state of an index of the history (``log/search`` keeps one)."""

    def segments(self, low: int, high: int) -> list[Segment]:
        """All of ``low < sequence < high``, ascending."""

    def candidates(
        self, part: int, match: str, low: int, high: int, order: str, limit: int
    ) -> list[int]:
        """Sequences whose words match, in ``order``."""

    def spans(self, since_us: int, until_us: int, low: int, high: int) -> list[tuple[int, int]]:
        """Where in ``low < sequence < high`` all events of these times are, ascending."""


class HistoryIndex(Protocol):
    """What makes searching quick; it may know nothing yet."""

    def viewing(self) -> AbstractContextManager[IndexView | None]: ...


@dataclass(slots=True)
class _Found:
    """Events in the order of the walk; ``edge`` (a sequence) is where it goes on, None at the end.

    ``ends_at`` is when it has taken long enough.
    """

    limit: int
    ends_at: float
    events: list[Event]
    edge: int | None = None
    scanned: int = 0

    @property
    def room(self) -> int:
        """How many more to look for: one more than wanted tells that there are more."""
        return self.limit + 1 - len(self.events)

    def is_full(self) -> bool:
        if self.room > 0:
            return False
        self.edge = self.events[self.limit - 1].sequence
        del self.events[self.limit :]
        return True

    @property
    def is_spent(self) -> bool:
        return self.scanned >= _MOST_SCANNED or time.monotonic() > self.ends_at


class HistoryReader:
    """Pages of the history; every query is bounded and can be made from any thread."""

    def __init__(
        self, database: Database, last_sequence: Callable[[], int], types: KnownTypes
    ) -> None:
        self._database = database
        self._last_sequence = last_sequence
        self._types = types
        self.index: HistoryIndex | None = None
        """Without one, words and times are found by looking at rows."""

    def page(self, query: EventQuery) -> EventPage:
        """One page. Raises CursorError, HiddenTextError, SearchTextError (no word in the text)."""
        if query.text:
            check_search()
        words = Words.parse(query.text) if query.text else None
        low = 0 if query.after is None else max(0, query.after)
        high = self._last_sequence() + 1
        if query.before is not None:
            high = min(high, query.before)
        order: Order = query.order
        position, is_back = 0, False
        if query.cursor is not None:
            position, is_back = decode_place(query.cursor)
            if is_back:
                order = "asc" if order == "desc" else "desc"
            if order == "desc":
                high = min(high, position)
            else:
                low = max(low, position)
        found = self._walk(query, words, low, high, order)
        events = found.events[::-1] if is_back else found.events
        step = 1 if query.order == "desc" else -1
        onward = None if found.edge is None else encode_place(found.edge, is_back)
        if is_back:
            # What was left to come here follows on this page, whatever else does.
            next = encode_place(_position(events[-1]) if events else max(0, position + step))
            return EventPage(events, next, found.scanned, onward, is_beginning=onward is None)
        previous = None
        if query.cursor is not None:
            first = _position(events[0]) if events else max(0, position - step)
            previous = encode_place(first, is_back=True)
        return EventPage(events, onward, found.scanned, previous)

    def _walk(
        self, query: EventQuery, words: Words | None, low: int, high: int, order: Order
    ) -> _Found:
        wanted = EventFilter.of(query, self._types)
        most_s = math.inf if words is None else _MOST_S
        found = _Found(query.limit, time.monotonic() + most_s, [])
        if high <= low + 1 or wanted.types == ():
            return found
        if words is None and not wanted.must_scan:
            with self._database.reading() as conn:
                found.events = _events(conn, wanted, low, high, order, found.room)
            found.is_full()
            return found
        if self.index is None:
            self._look(None, query, wanted, words, found, low, high, order)
        else:
            with self.index.viewing() as view:
                self._look(view, query, wanted, words, found, low, high, order)
        return found

    def _look(
        self, view: IndexView | None, query: EventQuery, wanted: EventFilter, words: Words | None,
        found: _Found, low: int, high: int, order: Order,
    ) -> None:  # fmt: skip
        with self._database.reading() as conn:
            segments: list[Segment] = []
            for start, end in self._spans(view, conn, query, wanted, low, high):
                if words is None or view is None or query.correlation is not None:
                    segments.append(Segment(start, end))
                else:
                    segments += view.segments(start, end)
            if order == "desc":
                segments.reverse()
            for number, segment in enumerate(segments):
                is_last = number == len(segments) - 1
                if view is not None and segment.part is not None and words is not None:
                    is_over = _search(view, conn, wanted, words, found, segment, order, is_last)
                else:
                    is_over = _scan(conn, wanted, words, found, segment, order, is_last)
                if is_over:
                    return

    def _spans(
        self, view: IndexView | None, conn: Connection, query: EventQuery, wanted: EventFilter,
        low: int, high: int,
    ) -> list[tuple[int, int]]:  # fmt: skip
        """The parts of the log where events of the wanted times are: most times, just those."""
        if not wanted.has_times:
            return [(low, high)]
        since = None if query.since is None else to_microseconds(query.since)
        until = None if query.until is None else to_microseconds(query.until)
        if view is not None:
            most = 2**62
            return view.spans(
                -most if since is None else since, most if until is None else until, low, high
            )
        times = schema.events.c.time_us
        statement = select(func.min(schema.events.c.sequence), func.max(schema.events.c.sequence))
        if since is not None:
            statement = statement.where(times >= since)
        if until is not None:
            statement = statement.where(times < until)
        first, last = conn.execute(statement).one()  # ix_events_time alone answers it
        return [] if first is None else [(max(low, first - 1), min(high, last + 1))]


def _scan(
    conn: Connection, wanted: EventFilter, words: Words | None, found: _Found, segment: Segment,
    order: Order, is_last: bool,
) -> bool:  # fmt: skip
    """Look at rows one after the other; whether the walk is over."""
    step = _WIDE_STEP if wanted.is_indexed and words is None else _STEP
    is_led = words is not None and (wanted.correlation is not None or wanted.subject is not None)
    if is_led:
        step = _LED_STEP
    tried = wanted if words is None else wanted.containing(words)
    for start, end in _windows(segment.low, segment.high, order, step):
        edge = None
        if words is None:
            found.events += _events(conn, wanted, start, end, order, found.room)
        else:
            edge = _match(conn, tried, words, found, start, end, order)
        if found.is_full():
            return True
        if not is_led:
            found.scanned += end - start - 1
        if edge is None:
            edge = start + 1 if order == "desc" else end - 1
            is_end = edge <= segment.low + 1 if order == "desc" else edge >= segment.high - 1
            if is_end and is_last:
                return False
        if found.is_spent:
            found.scanned = max(found.scanned, 1)
            found.edge = edge
            return True
    return False


def _match(
    conn: Connection, tried: EventFilter, words: Words, found: _Found, low: int, high: int,
    order: Order,
) -> int | None:  # fmt: skip
    """Add what matches of a window; where it stopped short of its end, None when it did not."""
    while True:
        events = _events(conn, tried, low, high, order, _MATCHER_ROWS)
        found.events += matching(words, events)[: found.room]
        if len(events) < _MATCHER_ROWS or found.room <= 0:
            return None
        edge = _position(events[-1])
        if found.is_spent:
            return edge
        low, high = (low, edge) if order == "desc" else (edge, high)


def _search(
    view: IndexView, conn: Connection, wanted: EventFilter, words: Words, found: _Found,
    segment: Segment, order: Order, is_last: bool,
) -> bool:  # fmt: skip
    """Look for words in an index; whether the walk is over."""
    assert segment.part is not None
    low, high = segment.low, segment.high
    match = narrowed(words, wanted)
    count = max(found.room, 50)
    while True:
        sequences = view.candidates(segment.part, match, low, high, order, count)
        if sequences:
            rows = event_filter.chosen(conn, wanted, sequences, order)
            events = [event_from_row(row) for row in rows]
            # What retention has emptied may be in the index for a moment longer.
            stripped = [event for event in events if event.is_stripped]
            kept = {event.sequence for event in matching(words, stripped)}
            found.events += [e for e in events if not e.is_stripped or e.sequence in kept]
            if found.is_full():
                return True
        is_end = len(sequences) < count
        if is_end and is_last:
            return False
        edge = sequences[-1] if not is_end else low + 1 if order == "desc" else high - 1
        if found.is_spent:
            found.scanned = max(found.scanned, 1)
            found.edge = edge
            return True
        if is_end:
            return False
        low, high = (low, edge) if order == "desc" else (edge, high)
        count = min(2 * count, _CANDIDATES)


def narrowed(words: Words, wanted: EventFilter) -> str:
    """The words, and what the index knows of the other conditions."""
    parts = [f"({words.match})"]
    if wanted.types is not None and len(wanted.types) <= 16:
        parts.append(f"type : ({' OR '.join(map(_quoted, wanted.types))})")
    if wanted.subject is not None and any(map(str.isalnum, wanted.subject)):
        parts.append(f"subject : {_quoted(wanted.subject)}")
    return " AND ".join(parts)


def _quoted(value: str) -> str:
    return '"' + value.replace('"', '""') + '"'


def _events(
    conn: Connection, wanted: EventFilter, low: int, high: int, order: Order, limit: int
) -> list[Event]:
    rows = event_filter.page(conn, wanted, low, high, order, limit)
    return [event_from_row(row) for row in rows]


def _position(event: Event) -> int:
    return event.sequence or 0


def _windows(low: int, high: int, order: str, step: int) -> Iterator[tuple[int, int]]:
    """Cut the open interval ``(low, high)`` into open intervals of ``step`` positions."""
    if order == "desc":
        while high > low + 1:
            start = max(low, high - 1 - step)
            yield start, high
            high = start + 1
    else:
        while high > low + 1:
            end = min(high, low + 1 + step)
            yield low, end
            low = end - 1
