"""The index's file: its tables, whether it belongs to the log beside it, its connections."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

from eventbus.log.matcher import know_parts
from eventbus.log.search.source import Source

SUFFIX = "-search"
_FILES = ("", "-wal", "-shm", "-journal")
# Another number makes every index afresh: for a change of what is in it.
_VERSION = 2
PART_SIZE = 200_000
"""Positions of the log in one part: what retention touched is made afresh part by part."""
LEVELS_S = (10, 300, 3_600, 86_400)
"""Widths of the buckets in which events are counted, in seconds; each divides the next."""
ALL_TYPES = 0
"""Stands for every type in the counts."""

_SCHEMA = (
    """CREATE TABLE parts (
        number INTEGER PRIMARY KEY, position INTEGER NOT NULL, is_stale INTEGER NOT NULL,
        first_us INTEGER, last_us INTEGER)""",
    "CREATE TABLE types (id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE)",
    """CREATE TABLE buckets (
        part INTEGER NOT NULL, level INTEGER NOT NULL, type INTEGER NOT NULL,
        bucket INTEGER NOT NULL, count INTEGER NOT NULL, first INTEGER NOT NULL,
        last INTEGER NOT NULL, PRIMARY KEY (part, level, type, bucket)) WITHOUT ROWID""",
    """CREATE TABLE notes (
        position INTEGER NOT NULL, event_id TEXT NOT NULL, removed INTEGER NOT NULL)""",
    "INSERT INTO notes VALUES (0, '', 0)",
    f"PRAGMA user_version = {_VERSION}",
)
# All that retention ever removed: a number that grows with every event and every payload.
REMOVED = "(SELECT coalesce(sum(events + payloads), 0) FROM log.removals)"


def part_of(sequence: int) -> int:
    """The number of the part that a sequence is in."""
    return (sequence - 1) // PART_SIZE


def bounds(part: int) -> tuple[int, int]:
    """A part's sequences, as an open interval."""
    return part * PART_SIZE, (part + 1) * PART_SIZE + 1


def open_for_filling(log_path: Path, source: Source) -> sqlite3.Connection:
    """The one connection that writes, with the log attached as "log"; makes the file if need be.

    What belongs to another log, or cannot be read, is made afresh. Raises sqlite3.Error, OSError,
    LogReadError.
    """
    path = log_path.with_name(log_path.name + SUFFIX)
    try:
        conn = _opened(path, source)
        try:
            if _is_ours(conn, source):
                return conn
        except BaseException:
            conn.close()
            raise
        conn.close()
    except sqlite3.DatabaseError:
        pass
    remove(log_path)
    conn = _opened(path, source)
    source.bring_removals(conn)
    conn.execute("BEGIN")
    for statement in _SCHEMA:
        conn.execute(statement)
    conn.execute(f"UPDATE notes SET removed = {REMOVED}")
    conn.execute("COMMIT")
    return conn


def open_for_reading(log_path: Path) -> sqlite3.Connection:
    """A connection that only reads the index."""
    path = log_path.with_name(log_path.name + SUFFIX)
    conn = sqlite3.connect(
        f"{path.as_uri()}?mode=ro", uri=True, isolation_level=None, check_same_thread=False
    )
    conn.execute("PRAGMA temp_store = MEMORY")
    return conn


def is_whole(log_path: Path) -> bool:
    """Whether an index is there that this software can read. Raises sqlite3.Error."""
    with closing(open_for_reading(log_path)) as conn:
        return bool(conn.execute("PRAGMA user_version").fetchone()[0] == _VERSION)


def remove(log_path: Path) -> None:
    """Remove the index of a log."""
    for suffix in _FILES:
        log_path.with_name(log_path.name + SUFFIX + suffix).unlink(missing_ok=True)


def _opened(path: Path, source: Source) -> sqlite3.Connection:
    conn = sqlite3.connect(path.as_uri(), uri=True, isolation_level=None, check_same_thread=False)
    try:
        # NORMAL: a power cut takes the newest of it, never its consistency; the log has it all.
        for pragma in (
            "journal_mode = WAL", "synchronous = NORMAL", "temp_store = MEMORY",
            "cache_size = -8192", "journal_size_limit = 16777216",
        ):  # fmt: skip
            conn.execute(f"PRAGMA {pragma}")
        source.attach(conn)
        know_parts(conn)
    except BaseException:
        conn.close()
        raise
    return conn


def _is_ours(conn: sqlite3.Connection, source: Source) -> bool:
    """Whether the file indexes this log: it has the event that was indexed last, with its id."""
    if conn.execute("PRAGMA main.user_version").fetchone()[0] != _VERSION:
        return False
    position, event_id, removed = conn.execute("SELECT * FROM notes").fetchone()
    if position == 0:
        return True
    source.bring(conn, position - 1, position)
    found = conn.execute("SELECT id FROM log.events WHERE sequence = ?", (position,)).fetchone()
    if found is None or found[0] != event_id:
        return False
    mark_unheard(conn, source)
    return True


def mark_unheard(conn: sqlite3.Connection, source: Source) -> None:
    """Note what was removed while the index did not hear of it. Raises LogReadError.

    Every part that could have had it is stale.
    """
    source.bring_removals(conn)
    (removed,) = conn.execute("SELECT removed FROM notes").fetchone()
    now, upto = conn.execute(
        f"SELECT {REMOVED}, (SELECT coalesce(max(last_sequence), 0) FROM log.removals)"
    ).fetchone()
    if now != removed:
        conn.execute("UPDATE parts SET is_stale = 1 WHERE number <= ?", (part_of(max(1, upto)),))
        conn.execute("UPDATE notes SET removed = ?", (now,))


def file_size(log_path: Path) -> int:
    """What the index takes on the disk, in bytes."""
    total = 0
    for suffix in _FILES:
        path = log_path.with_name(log_path.name + SUFFIX + suffix)
        if path.exists():
            total += path.stat().st_size
    return total
