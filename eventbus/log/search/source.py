"""Where the index reads the log: in its file, or, of one on a server, in a copy of what is next."""

from __future__ import annotations

import sqlite3
from typing import Protocol

from sqlalchemy import Connection, func, select

from eventbus.log import schema
from eventbus.log.eventlog import EventLog

# What one step takes in; less when payloads are large.
ROWS = 1_000
CHARS = 2 * 1024 * 1024

_events, _removals = schema.events, schema.removals
_COLUMNS = (
    _events.c.sequence, _events.c.id, _events.c.type, _events.c.subject, _events.c.time_us,
    _events.c.data,
)  # fmt: skip
_COPY = (
    """CREATE TABLE log.events (sequence INTEGER PRIMARY KEY, id TEXT, type TEXT, subject TEXT,
        time_us INTEGER, data TEXT)""",
    """CREATE TABLE log.removals (events INTEGER, payloads INTEGER, last_sequence INTEGER)""",
)


class Source(Protocol):
    """Has the log on an SQLite connection, as a database "log" with its tables."""

    def attach(self, conn: sqlite3.Connection) -> None:
        """Have the connection know "log"."""

    def bring(self, conn: sqlite3.Connection, after: int, upto: int) -> None:
        """See to it that the next step's events of ``after < sequence <= upto`` are there.

        Raises LogReadError.
        """

    def bring_removals(self, conn: sqlite3.Connection) -> None:
        """The same of what retention has removed. Raises LogReadError."""


def source_of(log: EventLog) -> Source:
    """The source that fits the log's database."""
    return ServerSource(log) if log.storage.is_on_server else FileSource(log)


class FileSource:
    """The log's file itself, attached: no row becomes a Python object."""

    def __init__(self, log: EventLog) -> None:
        self._log = log

    def attach(self, conn: sqlite3.Connection) -> None:
        conn.execute("ATTACH DATABASE ? AS log", (f"{self._log.path.as_uri()}?mode=ro",))

    def bring(self, conn: sqlite3.Connection, after: int, upto: int) -> None:
        pass

    def bring_removals(self, conn: sqlite3.Connection) -> None:
        pass


class ServerSource:
    """A database in memory that has those rows of a server's which the next step takes in."""

    def __init__(self, log: EventLog) -> None:
        self._log = log

    def attach(self, conn: sqlite3.Connection) -> None:
        conn.execute("ATTACH DATABASE ':memory:' AS log")
        for statement in _COPY:
            conn.execute(statement)

    def bring(self, conn: sqlite3.Connection, after: int, upto: int) -> None:
        with self._log.reading() as server:
            upto = _bounded(server, after, upto)
            rows = server.execute(
                select(*_COLUMNS).where(_events.c.sequence > after, _events.c.sequence <= upto)
            )
            conn.execute("DELETE FROM log.events")
            conn.executemany("INSERT INTO log.events VALUES (?, ?, ?, ?, ?, ?)", map(tuple, rows))

    def bring_removals(self, conn: sqlite3.Connection) -> None:
        with self._log.reading() as server:
            rows = server.execute(
                select(_removals.c.events, _removals.c.payloads, _removals.c.last_sequence)
            )
            conn.execute("DELETE FROM log.removals")
            conn.executemany("INSERT INTO log.removals VALUES (?, ?, ?)", map(tuple, rows))


def _bounded(server: Connection, after: int, upto: int) -> int:
    """Where the step ends: no more than it takes in is sent and held here."""
    size = func.octet_length(_events.c.data)  # of what is kept apart it need not read anything
    stretch = (
        select(_events.c.sequence, size.label("size"))
        .where(_events.c.sequence > after, _events.c.sequence <= upto)
        .order_by(_events.c.sequence).limit(ROWS)
        .subquery()
    )  # fmt: skip
    before = func.sum(stretch.c.size).over(order_by=stretch.c.sequence) - stretch.c.size
    sums = select(stretch.c.sequence, before.label("before")).subquery()
    statement = select(func.max(sums.c.sequence)).where(sums.c.before < CHARS)
    return server.execute(statement).scalar() or upto
