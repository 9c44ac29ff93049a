"""Filling the index: one step takes a stretch of the log in, another makes a part afresh.

All of it happens inside of SQLite, which does not hold the interpreter while it works: rows of a
log in a file do not become Python objects, but for texts with words inside of others. Nothing here
writes to the log or waits for its commits.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable
from dataclasses import dataclass

from eventbus.log.matcher import COLUMNS, PARTS, PLAIN_DATA, TABLE_OPTIONS, has_fts5
from eventbus.log.search import source as sources
from eventbus.log.search.index_file import ALL_TYPES, LEVELS_S, bounds, part_of
from eventbus.log.search.source import Source

MOST_TYPES = 5_000
"""Types that are counted each for itself; events of others are counted in the sum alone."""


@dataclass(frozen=True, slots=True)
class Work:
    """What to do next: take in what follows ``position`` in ``part``, or make it afresh."""

    part: int
    position: int
    is_afresh: bool = False


def next_work(conn: sqlite3.Connection, last_sequence: int, may_refresh: bool) -> Work | None:
    """The newest events first, then what is missing, newest part first, then stale parts."""
    if last_sequence == 0:
        return None
    newest = part_of(last_sequence)
    parts = {
        number: (position, is_stale)
        for number, position, is_stale in conn.execute(
            "SELECT number, position, is_stale FROM parts"
        )
    }
    for part in range(newest, -1, -1):
        low, high = bounds(part)
        position, _ = parts.get(part, (low, 0))
        if position < min(high - 1, last_sequence):
            return Work(part, position)
    if may_refresh:
        for part, (_, is_stale) in sorted(parts.items(), reverse=True):
            if is_stale:
                return Work(part, bounds(part)[0], is_afresh=True)
    return None


def mark_stale(conn: sqlite3.Connection, parts: Iterable[int], removed_count: int) -> None:
    """Note parts of which events or payloads have been removed, and how many."""
    conn.execute("BEGIN")
    conn.executemany("UPDATE parts SET is_stale = 1 WHERE number = ?", [(n,) for n in parts])
    conn.execute("UPDATE notes SET removed = removed + ?", (removed_count,))
    conn.execute("COMMIT")


def take_in(conn: sqlite3.Connection, source: Source, work: Work, last_sequence: int) -> int:
    """One step, in a transaction; the position that the part is complete up to then.

    Raises sqlite3.Error, LogReadError.
    """
    source.bring(conn, work.position, _end(work.part, last_sequence))
    conn.execute("BEGIN")
    try:
        _make_table(conn, work.part)
        position = _step(conn, work.part, work.position, last_sequence)
        conn.execute("COMMIT")
    except BaseException:
        roll_back(conn)
        raise
    return position


def begin_afresh(conn: sqlite3.Connection, part: int) -> None:
    """Begin a transaction in which the part is empty; readers see it as it was."""
    conn.execute("BEGIN")
    conn.execute(f"DROP TABLE IF EXISTS text_{part}")
    conn.execute("DELETE FROM buckets WHERE part = ?", (part,))
    conn.execute("DELETE FROM parts WHERE number = ?", (part,))
    _make_table(conn, part)


def take_in_afresh(conn: sqlite3.Connection, source: Source, work: Work, last_sequence: int) -> int:
    """As ``take_in``, in the transaction that has begun."""
    source.bring(conn, work.position, _end(work.part, last_sequence))
    return _step(conn, work.part, work.position, last_sequence)


def roll_back(conn: sqlite3.Connection) -> None:
    """End a transaction without its changes, if there is one."""
    if conn.in_transaction:
        conn.execute("ROLLBACK")


def _make_table(conn: sqlite3.Connection, part: int) -> None:
    if has_fts5():
        conn.execute(
            f"CREATE VIRTUAL TABLE IF NOT EXISTS text_{part} USING fts5({COLUMNS}, {TABLE_OPTIONS})"
        )


def _end(part: int, last_sequence: int) -> int:
    return min(bounds(part)[1] - 1, last_sequence)


def _step(conn: sqlite3.Connection, part: int, after: int, last_sequence: int) -> int:
    high = _end(part, last_sequence)
    upto, count = conn.execute(
        """SELECT max(sequence), count(*) FROM (
            SELECT sequence, sum(size) OVER (ORDER BY sequence) - size AS before FROM (
                SELECT sequence, length(data) AS size FROM log.events
                WHERE sequence > ? AND sequence <= ? ORDER BY sequence LIMIT ?))
        WHERE before < ?""",
        (after, high, sources.ROWS, sources.CHARS),
    ).fetchone()
    if count == 0:
        upto = high  # retention has removed the rest
    else:
        stretch = {"after": after, "upto": upto, "part": part}
        if has_fts5():
            conn.execute(
                f"INSERT INTO text_{part} (rowid, {COLUMNS}) "
                f"SELECT sequence, {PLAIN_DATA}, type, subject, {PARTS} FROM log.events "
                "WHERE sequence > :after AND sequence <= :upto",
                stretch,
            )
        _count(conn, stretch)
    conn.execute(
        """INSERT INTO parts (number, position, is_stale, first_us, last_us)
        SELECT :part, :upto, 0, min(time_us), max(time_us) FROM log.events
        WHERE sequence > :after AND sequence <= :upto
        ON CONFLICT (number) DO UPDATE SET position = excluded.position,
            first_us = min(coalesce(first_us, excluded.first_us),
                           coalesce(excluded.first_us, first_us)),
            last_us = max(coalesce(last_us, excluded.last_us),
                          coalesce(excluded.last_us, last_us))""",
        {"part": part, "upto": upto, "after": after},
    )
    if count:
        conn.execute(
            """UPDATE notes SET position = :upto,
                event_id = (SELECT id FROM log.events WHERE sequence = :upto)
            WHERE position < :upto""",
            {"upto": upto},
        )
    return int(upto)


def _count(conn: sqlite3.Connection, stretch: dict[str, int]) -> None:
    """Add the events to the buckets of every level."""
    conn.execute(
        f"""INSERT INTO types (name) SELECT DISTINCT type FROM log.events
        WHERE sequence > :after AND sequence <= :upto
            AND type NOT IN (SELECT name FROM types)
        LIMIT max(0, {MOST_TYPES} - (SELECT count(*) FROM types))""",
        stretch,
    )
    conn.execute(
        "CREATE TEMP TABLE IF NOT EXISTS step (type INTEGER, bucket INTEGER, count INTEGER, "
        "first INTEGER, last INTEGER)"
    )
    conn.execute("DELETE FROM temp.step")
    finest = LEVELS_S[0]
    width_us = finest * 1_000_000
    conn.execute(
        f"""INSERT INTO temp.step
        SELECT types.id, (time_us - (time_us % {width_us} + {width_us}) % {width_us}) / {width_us},
            count(*), min(sequence), max(sequence)
        FROM log.events AS event LEFT JOIN types ON types.name = event.type
        WHERE sequence > :after AND sequence <= :upto GROUP BY 1, 2""",
        stretch,
    )
    for level in LEVELS_S:
        span = level // finest
        bucket = f"(bucket - (bucket % {span} + {span}) % {span}) / {span}"
        for type in ("type", str(ALL_TYPES)):
            conn.execute(
                f"""INSERT INTO buckets (part, level, type, bucket, count, first, last)
                SELECT :part, {level}, {type}, {bucket}, sum(count), min(first), max(last)
                FROM temp.step WHERE {type} IS NOT NULL GROUP BY 3, 4
                ON CONFLICT (part, level, type, bucket) DO UPDATE SET
                    count = count + excluded.count, first = min(first, excluded.first),
                    last = max(last, excluded.last)""",
                stretch,
            )
