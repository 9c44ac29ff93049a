"""Checking a database file: whether SQLite finds it whole, and whether its rows agree."""

from __future__ import annotations

import sqlite3
import threading
import time
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal

from eventbus.log.companions import COMPANIONS
from eventbus.timestamps import from_microseconds

Kind = Literal["quick", "full"]

_MOST_PROBLEMS = 100

# Each counts rows that no stop, crash or restore may leave behind. The first two walk
# ix_deliveries_unfinished, which stays small however long the log grows.
_QUICK_FINDINGS = {
    "{n} unfinished deliveries are of events that are not in the log": """
        SELECT count(*) FROM deliveries WHERE state != 'succeeded'
        AND state IN ('pending', 'retrying', 'dead')
        AND NOT EXISTS (SELECT 1 FROM events WHERE events.sequence = deliveries.sequence)""",
    "{n} unfinished deliveries are of subscriptions that are not known": """
        SELECT count(*) FROM deliveries WHERE state != 'succeeded'
        AND state IN ('pending', 'retrying', 'dead')
        AND subscription NOT IN (SELECT id FROM subscriptions)""",
    "{n} events have a sequence below 1": "SELECT count(*) FROM events WHERE sequence < 1",
}
_FULL_FINDINGS = {
    "{n} events have data that is not JSON": """
        SELECT count(*) FROM events WHERE data != '' AND NOT json_valid(data)""",
    "{n} finished deliveries have taken less than no time": """
        SELECT count(*) FROM deliveries WHERE duration_us < 0""",
}


@dataclass(frozen=True, slots=True)
class IntegrityReport:
    """What a check found.

    ``problems`` are SQLite's: the file is damaged. ``findings`` are rows that contradict each
    other in a file that is whole. ``event_count`` is None in a quick check, which counts nothing.
    """

    kind: Kind
    problems: tuple[str, ...]
    findings: tuple[str, ...]
    event_count: int | None
    last_sequence: int
    last_time: datetime | None
    checked_at: datetime
    duration_s: float

    @property
    def is_ok(self) -> bool:
        return not self.problems and not self.findings


class IntegrityCheck:
    """One check of one file, on a connection of its own that only reads.

    ``quick`` reads every page and is as fast as the disk; ``full`` also compares every index with
    its table. ``interrupt`` may come from any thread.
    """

    def __init__(self, path: Path, kind: Kind = "full") -> None:
        self._path = path
        self._kind: Kind = kind
        self._lock = threading.Lock()  # guards the two below
        self._conn: sqlite3.Connection | None = None
        self._is_interrupted = False

    def interrupt(self) -> None:
        """End the check soon; ``run`` then returns None."""
        with self._lock:
            self._is_interrupted = True
            if self._conn is not None:
                self._conn.interrupt()

    def run(self) -> IntegrityReport | None:
        """Check; blocks, for minutes when the file has gigabytes. Raises OSError without a file."""
        self._path.stat()
        checked_at, started = datetime.now(UTC), time.monotonic()
        problems: list[str] = []
        findings: list[str] = []
        count: int | None = None
        last: tuple[int, int | None] = (0, None)
        try:
            conn = open_read_only(self._path)
            with self._lock:
                self._conn = conn
                if self._is_interrupted:
                    return None
            problems = self._problems(conn)
            if not problems:
                findings = self._findings(conn)
                last = newest(conn)
                if self._kind == "full":
                    count = conn.execute("SELECT count(*) FROM events").fetchone()[0]
        except sqlite3.Error as error:
            if self._is_interrupted:
                return None
            problems.append(str(error))
        finally:
            with self._lock:
                if self._conn is not None:
                    self._conn.close()
                    self._conn = None
        return IntegrityReport(
            self._kind, tuple(problems), tuple(findings), count, last[0],
            None if last[1] is None else from_microseconds(last[1]), checked_at,
            time.monotonic() - started,
        )  # fmt: skip

    def _problems(self, conn: sqlite3.Connection) -> list[str]:
        pragma = "quick_check" if self._kind == "quick" else "integrity_check"
        rows = conn.execute(f"PRAGMA {pragma}({_MOST_PROBLEMS})").fetchall()
        return [str(row[0]) for row in rows if row[0] != "ok"]

    def _findings(self, conn: sqlite3.Connection) -> list[str]:
        queries = _QUICK_FINDINGS if self._kind == "quick" else _QUICK_FINDINGS | _FULL_FINDINGS
        found = []
        for sentence, query in queries.items():
            (n,) = conn.execute(query).fetchone()
            if n:
                found.append(sentence.format(n=n))
        return found


def quick_check(path: Path) -> tuple[str, ...]:
    """What is wrong with the file at ``path``; blocks as ``IntegrityCheck.run``."""
    report = IntegrityCheck(path, "quick").run()
    return () if report is None else report.problems


def open_read_only(path: Path) -> sqlite3.Connection:
    """A connection that cannot write, also beside a running server; for one thread at a time.

    Raises sqlite3.Error.
    """
    uri = f"{path.resolve().as_uri()}?mode=ro"
    conn = sqlite3.connect(uri, uri=True, isolation_level=None, check_same_thread=False)
    try:
        conn.execute("SELECT count(*) FROM sqlite_schema").fetchone()
    except sqlite3.OperationalError:
        conn.close()
        wal = COMPANIONS[0].of(path)
        if wal.exists() and wal.stat().st_size > 0:
            raise
        # In a directory that cannot be written, where SQLite cannot make the files of its WAL.
        conn = sqlite3.connect(
            f"{uri}&immutable=1", uri=True, isolation_level=None, check_same_thread=False
        )
    except BaseException:
        conn.close()
        raise
    return conn


def newest(conn: sqlite3.Connection) -> tuple[int, int | None]:
    """Sequence and time (microseconds) of the newest event; 0 and None without any."""
    query = "SELECT sequence, time_us FROM events ORDER BY sequence DESC LIMIT 1"
    row = conn.execute(query).fetchone()
    return (0, None) if row is None else (row[0], row[1])
