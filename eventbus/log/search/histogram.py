"""How many events of a query there are over time: from counts, or from the newest that match."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import datetime

from eventbus.lens import check_search
from eventbus.log import event_filter
from eventbus.log.event_filter import EventFilter
from eventbus.log.eventlog import EventLog
from eventbus.log.history import narrowed
from eventbus.log.search.index import Index
from eventbus.log.search.index_file import LEVELS_S
from eventbus.log.search.view import View
from eventbus.log.values import EventQuery
from eventbus.log.words import Words
from eventbus.timestamps import from_microseconds, to_microseconds

# Of a query that the counts do not answer, so many of the newest events are counted, in so long.
MOST_SAMPLED = 2_000
_MOST_S = 0.05
# A short time is counted row by row, if it has not more events than this.
_MOST_ROWS = 5_000
# What the index does not have yet is counted row by row, if it is not more than this.
_MOST_BEHIND = 10_000
_MOST_BUCKETS = 2_000
_MOST_TYPES = 64
_MINUTE, _HOUR, _DAY = 60, 3_600, 86_400
_WIDTHS_S = (
    0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 30, _MINUTE, 2 * _MINUTE, 5 * _MINUTE,
    10 * _MINUTE, 15 * _MINUTE, 30 * _MINUTE, _HOUR, 2 * _HOUR, 3 * _HOUR, 6 * _HOUR, 12 * _HOUR,
    _DAY, 2 * _DAY, 5 * _DAY, 10 * _DAY, 30 * _DAY, 90 * _DAY, 360 * _DAY, 3_600 * _DAY,
    36_000 * _DAY, 360_000 * _DAY,
)  # fmt: skip

IsBad = Callable[[str], bool]
Counted = tuple[int, int, bool]
"""A time in microseconds, how many events, and whether they are bad news."""


@dataclass(frozen=True, slots=True)
class Bar:
    """Events from ``start`` to ``end`` (exclusive); ``bad_count`` of them are bad news."""

    start: datetime
    end: datetime
    count: int
    bad_count: int


@dataclass(frozen=True, slots=True)
class Histogram:
    """Counts of a query's events over time, oldest first.

    ``is_sampled``: there are more events, of which only the newest were counted. ``is_exact`` is
    False when a bar at an edge also counts events just outside of the range that was asked for.
    ``uncounted`` positions of the log are not in the index yet.
    """

    bars: list[Bar]
    total: int
    is_sampled: bool
    is_exact: bool
    uncounted: int

    @property
    def start(self) -> datetime:
        return self.bars[0].start

    @property
    def end(self) -> datetime:
        return self.bars[-1].end


def histogram(
    log: EventLog, index: Index, query: EventQuery, most_bars: int, is_bad: IsBad
) -> Histogram | None:
    """At most ``most_bars`` columns for the query's filter, whatever its page; None for nothing.

    Raises SearchTextError, HiddenTextError.
    """
    if query.text:
        check_search()
    wanted = EventFilter.of(query, log.known_types)
    words = Words.parse(query.text) if query.text else None
    if wanted.types == ():
        return None
    since = None if query.since is None else to_microseconds(query.since)
    until = None if query.until is None else to_microseconds(query.until)
    with index.viewing() as view:
        is_plain = words is None and query.subject is None and query.correlation is None
        few_types = wanted.types is None or len(wanted.types) <= _MOST_TYPES
        if is_plain and view is not None and few_types and not wanted.is_tried_on_rows:
            return _from_counts(log, view, wanted, since, until, most_bars, is_bad)
        counted, is_more = _sample(log, view, query, wanted, words, is_bad)
    if not counted:
        return None
    first = min(counted)[0] if since is None or is_more else since
    last = max(counted)[0] + 1 if until is None else until
    bars = _Bars(first, last, most_bars)
    bars.add(counted)
    return bars.done(is_sampled=is_more, is_exact=True, uncounted=0)


class _Bars:
    """Columns that cover a range of times, in microseconds."""

    def __init__(self, first: int, end: int, most: int, least_s: float = 0.0) -> None:
        end = max(end, first + 1)
        for width_s in _WIDTHS_S:
            self.width = round(width_s * 1_000_000)
            self.start = first // self.width * self.width
            count = -(-(end - self.start) // self.width)
            if width_s >= least_s and count <= most:
                break
        self.counts = [0] * count
        self.bad = [0] * count
        self.end = self.start + count * self.width
        self.is_aligned = self.start == first and self.end == end

    def add(self, counted: Iterable[Counted]) -> None:
        """Count what lies in the range."""
        for at, count, is_bad in counted:
            if self.start <= at < self.end:
                place = (at - self.start) // self.width
                self.counts[place] += count
                self.bad[place] += count if is_bad else 0

    def done(self, *, is_sampled: bool, is_exact: bool, uncounted: int) -> Histogram | None:
        total = sum(self.counts)
        if not total:
            return None
        bars = [
            Bar(
                from_microseconds(self.start + place * self.width),
                from_microseconds(self.start + (place + 1) * self.width),
                count,
                min(count, self.bad[place]),
            )
            for place, count in enumerate(self.counts)
        ]
        return Histogram(bars, total, is_sampled, is_exact, uncounted)


def _from_counts(
    log: EventLog, view: View, wanted: EventFilter, since: int | None, until: int | None,
    most_bars: int, is_bad: IsBad,
) -> Histogram | None:  # fmt: skip
    spans = view.behind(log.last_sequence)
    behind = sum(high - low - 1 for low, high in spans)
    rest: list[Counted] = []
    if behind <= _MOST_BEHIND:
        for low, high in spans:
            rest += _times(log, wanted, low, high, _MOST_BEHIND, is_bad)
    known = view.times()
    firsts = [at for at, _, _ in rest] + ([known[0]] if known else [])
    lasts = [at + 1 for at, _, _ in rest] + ([known[1] + 1] if known else [])
    if not firsts:
        return None
    first = min(firsts) if since is None else max(since, min(firsts))
    end = max(lasts) if until is None else min(until, max(lasts))
    if end <= first:
        return None
    uncounted = behind if behind > _MOST_BEHIND else 0
    types = None if wanted.types is None else view.type_ids(wanted.types)
    least_s = LEVELS_S[0]
    if end - first < most_bars * least_s * 1_000_000:
        # Narrower than the narrowest bucket: the rows themselves, unless there are too many.
        buckets = view.counts(least_s, first - least_s * 1_000_000, end, types)
        if sum(buckets.values()) + len(rest) <= _MOST_ROWS:
            bars = _Bars(first, end, most_bars)
            within = EventFilter(
                wanted.types, ("time_us >= :first", "time_us < :end"),
                {"first": first, "end": end}, has_times=True,
            )  # fmt: skip
            for low, high in view.spans(first, end, 0, log.last_sequence + 1):
                bars.add(_times(log, within, low, high, _MOST_ROWS, is_bad))
            return bars.done(is_sampled=False, is_exact=True, uncounted=uncounted)
    bars = _Bars(first, end, most_bars, least_s)
    level = next(
        (
            level
            for level in LEVELS_S
            if (bars.end - bars.start) // (level * 1_000_000) <= _MOST_BUCKETS
        ),
        LEVELS_S[-1],
    )
    width = level * 1_000_000
    low, high = first // width * width, -(-end // width) * width
    bad = [name for name in (wanted.types or log.known_types.names()) if is_bad(name)]
    bad_ids = view.type_ids(bad[:_MOST_TYPES])
    found = view.counts(level, low, high, types)
    bars.add((bucket * width, count, False) for bucket, count in found.items())
    if bad_ids:
        found = view.counts(level, low, high, bad_ids)
        for bucket, count in found.items():
            bars.add([(bucket * width, count, True), (bucket * width, -count, False)])
    bars.add(each for each in rest if first <= each[0] < end)
    return bars.done(
        is_sampled=False, is_exact=(low, high) == (first, end) or (since is None and until is None),
        uncounted=uncounted,
    )  # fmt: skip


def _sample(
    log: EventLog, view: View | None, query: EventQuery, wanted: EventFilter,
    words: Words | None, is_bad: IsBad,
) -> tuple[list[Counted], bool]:  # fmt: skip
    """The newest events that match, and whether there are more."""
    end = log.last_sequence + 1
    if words is None:
        counted = _times(log, wanted, 0, end, MOST_SAMPLED + 1, is_bad)
        return counted[:MOST_SAMPLED], len(counted) > MOST_SAMPLED
    if view is None or query.correlation is not None:
        return [], False
    counted = []
    ends_at = time.monotonic() + _MOST_S
    match = narrowed(words, wanted)
    for segment in reversed(view.segments(0, end)):
        high = segment.high
        while segment.part is not None:
            sequences = view.candidates(segment.part, match, segment.low, high, "desc", 1_000)
            if sequences:
                with log.reading() as conn:
                    rows = event_filter.chosen(conn, wanted, sequences, "desc", "time_us, type")
                counted += [(row[0], 1, is_bad(row[1])) for row in rows]
                high = sequences[-1]
            if len(counted) >= MOST_SAMPLED or time.monotonic() > ends_at:
                return counted[:MOST_SAMPLED], True
            if len(sequences) < 1_000:
                break
    return counted, False


def _times(
    log: EventLog, wanted: EventFilter, low: int, high: int, limit: int, is_bad: IsBad
) -> list[Counted]:
    with (
        log.reading() as conn,
        event_filter.opened(conn, wanted, low, high, "desc", limit, "time_us, type") as rows,
    ):
        return [(row[0], 1, is_bad(row[1])) for row in rows]
