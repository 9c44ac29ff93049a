"""What an overlay lies over: the committed rows of a log's database, and where changes are tried.

Over an SQLite file both are one connection, which cannot write the file. Over a database on a
server rows are read there, in a transaction that cannot write, and changed in memory here.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path
from typing import Any, Protocol
from urllib.parse import quote

from sqlalchemy import Connection, Engine, Table, create_engine, event
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.pool import NullPool

from eventbus.errors import LogReadError, OverlayError
from eventbus.log.eventlog import EventLog

_STEPS = 20_000  # of SQLite's machine, between two looks at the clock: about a millisecond
_LONGEST_MS = 2_000  # of one query on a server

Row = tuple[Any, ...]


class Ground(Protocol):
    """``conn`` has an empty table of the name of each that may be changed."""

    conn: Connection
    is_apart: bool
    """Whether ``conn`` sees nothing of the log's database."""

    def rows(self, query: Any, params: Any) -> list[Row]:
        """What a query on one of those tables finds in the log's database.

        Raises OverlayError when a server does not answer it.
        """


@contextmanager
def open_ground(
    log: EventLog, tables: Sequence[Table], is_late: Callable[[], bool]
) -> Iterator[Ground]:
    """The ground under ``tables`` of the log, on one snapshot; ``is_late()`` cuts a query off.

    Raises OverlayError when the log cannot be read.
    """
    if log.storage.is_on_server:
        with _server_ground(log, tables, is_late) as ground:
            yield ground
        return
    file = FileGround(log.path, tables, is_late)
    try:
        yield file
    finally:
        file.conn.close()


class FileGround:
    """An SQLite file, opened for reading only; the tables are temporary ones over it."""

    is_apart = False

    def __init__(self, path: Path, tables: Sequence[Table], is_late: Callable[[], bool]) -> None:
        """Raises OverlayError."""
        try:
            self.conn = _engine(f"file:{quote(str(path))}?mode=ro").connect()
        except SQLAlchemyError as error:
            raise OverlayError(f"the log cannot be read: {error}") from error
        try:
            driver: Any = self.conn.connection.driver_connection
            driver.set_progress_handler(is_late, _STEPS)
            for table in tables:
                self._shadow(table.name)
        except SQLAlchemyError as error:
            self.conn.close()
            raise OverlayError(f"the log cannot be read: {error}") from error
        except BaseException:
            self.conn.close()
            raise

    def rows(self, query: Any, params: Any) -> list[Row]:
        """As of a Ground."""
        options = {"schema_translate_map": {None: "main"}}
        return [tuple(row) for row in self.conn.execute(query, params, execution_options=options)]

    def _shadow(self, name: str) -> None:
        sql = self.conn.exec_driver_sql(
            "SELECT sql FROM main.sqlite_master WHERE type = 'table' AND name = ?", (name,)
        ).scalar()
        if sql is None:
            raise OverlayError(f"there is no table {name!r}: its migrations have not run")
        # As it is kept there, this statement always begins with these two words.
        self.conn.exec_driver_sql(sql.replace("CREATE TABLE", "CREATE TEMP TABLE", 1))


class _ServerGround:
    """Rows of a database on a server, over which the tables are in a database in memory."""

    is_apart = True

    def __init__(self, conn: Connection, committed: Connection) -> None:
        self.conn = conn
        self._committed = committed

    def rows(self, query: Any, params: Any) -> list[Row]:
        """As of a Ground."""
        try:
            return [tuple(row) for row in self._committed.execute(query, params)]
        except SQLAlchemyError as error:  # after which this transaction can read no more
            raise OverlayError(f"the log cannot be read: {error}") from error


@contextmanager
def _server_ground(
    log: EventLog, tables: Sequence[Table], is_late: Callable[[], bool]
) -> Iterator[Ground]:
    try:
        with log.reading() as committed, _engine(":memory:").connect() as conn:
            # For this transaction alone, in which nothing can be written.
            committed.exec_driver_sql(f"SET LOCAL statement_timeout = {_LONGEST_MS}")
            driver: Any = conn.connection.driver_connection
            driver.set_progress_handler(is_late, _STEPS)
            for table in tables:
                table.create(conn)
            yield _ServerGround(conn, committed)
    except LogReadError as error:
        raise OverlayError(str(error)) from error


@lru_cache(maxsize=4)
def _engine(address: str) -> Engine:
    """Kept for the statements that it has compiled, which is most of the work; no connection is."""

    def connect() -> sqlite3.Connection:
        # For whichever thread has the overlay, one after the other.
        driver = sqlite3.connect(address, uri=True, isolation_level=None, check_same_thread=False)
        driver.execute("PRAGMA temp_store = MEMORY").close()
        return driver

    engine = create_engine("sqlite://", creator=connect, poolclass=NullPool)
    event.listen(engine, "begin", lambda conn: conn.exec_driver_sql("BEGIN"))
    return engine
