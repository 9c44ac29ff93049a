"""One state of the index: where words are, where times are, how many events there are per time."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence

from eventbus.log.history import Segment
from eventbus.log.matcher import has_fts5
from eventbus.log.search.index_file import ALL_TYPES, LEVELS_S, bounds, part_of

# The edges of a time range are looked up in at most about so many buckets of a part.
_MOST_BUCKETS = 4_000

Interval = tuple[int, int]
"""An open interval of sequences."""


class View:
    """Reads in the transaction that ``conn`` is in; for one thread."""

    def __init__(self, conn: sqlite3.Connection) -> None:
        self._conn = conn
        self._parts = {
            row[0]: row[1:]
            for row in conn.execute("SELECT number, position, first_us, last_us FROM parts")
        }

    def segments(self, low: int, high: int) -> list[Segment]:
        """All of ``low < sequence < high``, ascending: what is indexed, and what is not yet."""
        found: list[Segment] = []
        for part in _parts_of(low, high):
            start, end = bounds(part)
            start, end = max(low, start), min(high, end)
            position = self._position(part) if has_fts5() else start
            middle = min(max(position, start), end - 1)
            if middle > start:
                found.append(Segment(start, middle + 1, part))
            if middle < end - 1:
                if found and found[-1].part is None:
                    found[-1] = Segment(found[-1].low, end)
                else:
                    found.append(Segment(middle, end))
        return found

    def candidates(
        self, part: int, match: str, low: int, high: int, order: str, limit: int
    ) -> list[int]:
        """Sequences in ``part`` whose words match FTS5's query, in ``order``."""
        rows = self._conn.execute(
            f"SELECT rowid FROM text_{part} WHERE text_{part} MATCH ? AND rowid > ? AND rowid < ? "
            f"ORDER BY rowid {order} LIMIT ?",
            (match, low, high, limit),
        )
        return [row[0] for row in rows]

    def spans(self, since_us: int, until_us: int, low: int, high: int) -> list[Interval]:
        """Where in ``low < sequence < high`` all events of these times are, ascending."""
        found: list[Interval] = []
        for part in _parts_of(low, high):
            for start, end in self._spans_of(part, since_us, until_us):
                start, end = max(low, start), min(high, end)
                if start >= end - 1:
                    continue
                if found and found[-1][1] > start:
                    found[-1] = (found[-1][0], end)
                else:
                    found.append((start, end))
        return found

    def behind(self, last_sequence: int) -> list[Interval]:
        """What is not in the index yet, ascending."""
        found: list[Interval] = []
        for part in _parts_of(0, last_sequence + 1):
            start, end = max(self._position(part), bounds(part)[0]), bounds(part)[1]
            end = min(end, last_sequence + 1)
            if start >= end - 1:
                continue
            if found and found[-1][1] > start:
                found[-1] = (found[-1][0], end)
            else:
                found.append((start, end))
        return found

    def times(self) -> tuple[int, int] | None:
        """The first and the last time of an event in the index, in microseconds; None for none."""
        first = [part[1] for part in self._parts.values() if part[1] is not None]
        last = [part[2] for part in self._parts.values() if part[2] is not None]
        return (min(first), max(last)) if first else None

    def type_ids(self, names: Sequence[str]) -> list[int]:
        """The index's numbers of types."""
        return [
            row[0]
            for name in names
            for row in self._conn.execute("SELECT id FROM types WHERE name = ?", (name,))
        ]

    def counts(
        self, level: int, since_us: int, until_us: int, types: Sequence[int] | None = None
    ) -> dict[int, int]:
        """Events by bucket of ``level`` seconds that begins in the range; None: of all types."""
        first, last = -(-since_us // (level * 1_000_000)), (until_us - 1) // (level * 1_000_000)
        found: dict[int, int] = {}
        for part, (_, first_us, last_us) in self._parts.items():
            if first_us is None or last_us < since_us or first_us >= until_us:
                continue
            for type in (ALL_TYPES,) if types is None else types:  # primary key
                for bucket, count in self._conn.execute(
                    "SELECT bucket, count FROM buckets WHERE part = ? AND level = ? AND type = ? "
                    "AND bucket >= ? AND bucket <= ?",
                    (part, level, type, first, last),
                ):
                    found[bucket] = found.get(bucket, 0) + count
        return found

    def _position(self, part: int) -> int:
        found = self._parts.get(part)
        return bounds(part)[0] if found is None else int(found[0])

    def _spans_of(self, part: int, since_us: int, until_us: int) -> list[Interval]:
        start, end = bounds(part)
        position = self._position(part)
        rest = [] if position >= end - 1 else [(position, end)]
        _, first_us, last_us = self._parts.get(part, (start, None, None))
        if first_us is None or last_us < since_us or first_us >= until_us:
            return rest
        if since_us <= first_us and last_us < until_us:
            return [(start, position + 1), *rest]
        since_us, until_us = max(since_us, first_us), min(until_us, last_us + 1)
        level = next(
            (
                level
                for level in LEVELS_S
                if (until_us - since_us) / (level * 1_000_000) < _MOST_BUCKETS
            ),
            LEVELS_S[-1],
        )
        width_us = level * 1_000_000
        row = self._conn.execute(
            "SELECT min(first), max(last) FROM buckets WHERE part = ? AND level = ? AND type = ? "
            "AND bucket >= ? AND bucket <= ?",
            (part, level, ALL_TYPES, since_us // width_us, (until_us - 1) // width_us),
        ).fetchone()
        if row[0] is None:
            return rest
        return [(row[0] - 1, row[1] + 1), *rest]


def _parts_of(low: int, high: int) -> range:
    """The parts that ``low < sequence < high`` are in."""
    return range(part_of(low + 1), part_of(high - 1) + 1) if high > low + 1 else range(0)
