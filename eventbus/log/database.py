"""The SQLite file: who may write it, how connections are set up, where they come from."""

from __future__ import annotations

import fcntl
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, Engine, create_engine, event, make_url
from sqlalchemy.exc import ArgumentError, SQLAlchemyError
from sqlalchemy.pool import QueuePool, StaticPool

from eventbus.errors import LogError, LogLockedError
from eventbus.patterns import Pattern

_BUSY_TIMEOUT_MS = 5_000
_READ_POOL = 16
_WRITER_CACHE_KIB = 64 * 1024


class Database:
    """One SQLite database, locked for this process as its only writer.

    ``writer`` is the single writing connection; whoever uses it holds the log's commit lock.
    ``reading()`` lends a read-only connection, from any thread, on a snapshot of what is committed.
    """

    def __init__(self, url: str) -> None:
        """``url`` is ``sqlite:///path``; ``sqlite://`` is a temporary file that ``close`` removes.

        Raises LogError for a url that is not SQLite's, LogLockedError when it is open elsewhere.
        """
        self._temporary: str | None = None
        self.path = self._resolve(url)
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            self._lock_file = self._lock()
        except OSError as error:
            raise LogError(f"cannot open the log {self.path}: {error}") from error
        address = f"sqlite:///{self.path}"
        try:
            self._write_engine = _engine(address, begin="BEGIN IMMEDIATE", poolclass=StaticPool)
            event.listen(self._write_engine, "connect", _set_up_writer)
            self._read_engine = _engine(
                address, begin="BEGIN", poolclass=QueuePool, pool_size=_READ_POOL,
                max_overflow=_READ_POOL,
            )  # fmt: skip
            event.listen(self._read_engine, "connect", _set_up_reader)
            self.writer: Connection = self._write_engine.connect()
        except SQLAlchemyError as error:
            self._lock_file.close()
            raise LogError(f"cannot open the log {self.path}: {error}") from error

    @contextmanager
    def reading(self) -> Iterator[Connection]:
        """A read-only connection inside one transaction: everything read in it is one state."""
        with self._read_engine.connect() as conn:
            yield conn

    def close(self) -> None:
        """Close all connections (which folds the WAL into the file) and give the lock back."""
        self._read_engine.dispose()
        self.writer.close()
        self._write_engine.dispose()
        self._lock_file.close()
        if self._temporary is not None:
            shutil.rmtree(self._temporary)

    def _resolve(self, url: str) -> Path:
        try:
            parsed = make_url(url)
        except ArgumentError as error:
            raise LogError(
                f"{url!r} is not a database URL; use sqlite:///path/to/events.db"
            ) from error
        if parsed.get_backend_name() != "sqlite":
            shown = parsed.render_as_string(hide_password=True)
            raise LogError(f"the log needs an sqlite:/// URL, not {shown}")
        if parsed.database in (None, "", ":memory:"):
            self._temporary = tempfile.mkdtemp(prefix="eventbus-")
            return Path(self._temporary, "events.db")
        return Path(parsed.database).resolve()  # a link must not get a lock of its own

    def _lock(self) -> Any:
        path = self.path.with_name(self.path.name + "-lock")
        lock_file = path.open("a+")
        try:
            fcntl.flock(lock_file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            lock_file.seek(0)
            holder = lock_file.read().strip() or "unknown"
            lock_file.close()
            raise LogLockedError(
                f"{self.path} is open for writing in another process (pid {holder}): one embedded "
                "database has one bus; stop that process or use another EVENTBUS_DATABASE_URL"
            ) from None
        lock_file.truncate(0)
        lock_file.write(str(os.getpid()))
        lock_file.flush()
        return lock_file


def _engine(address: str, *, begin: str, **options: Any) -> Engine:
    engine = create_engine(address, connect_args={"check_same_thread": False}, **options)

    @event.listens_for(engine, "connect")
    def own_the_transactions(dbapi_connection: Any, _record: Any) -> None:
        dbapi_connection.isolation_level = None  # the driver must not begin or commit by itself

    @event.listens_for(engine, "begin")
    def begin_explicitly(conn: Connection) -> None:
        conn.exec_driver_sql(begin)

    return engine


def _set_up_writer(dbapi_connection: Any, _record: Any) -> None:
    for pragma in (
        "auto_vacuum = INCREMENTAL",  # only takes effect before the first table exists
        "journal_mode = WAL",
        "synchronous = FULL",  # an acknowledged publish survives a power cut, not only a crash
        f"busy_timeout = {_BUSY_TIMEOUT_MS}",
        f"cache_size = -{_WRITER_CACHE_KIB}",
        "temp_store = MEMORY",
        "journal_size_limit = 67108864",
    ):
        dbapi_connection.execute(f"PRAGMA {pragma}").close()


@lru_cache(maxsize=256)
def _pattern(text: str) -> Pattern:
    return Pattern(text)


def _type_matches(pattern: str, type: str) -> bool:
    return _pattern(pattern).matches(type)


def _set_up_reader(dbapi_connection: Any, _record: Any) -> None:
    dbapi_connection.create_function("eventbus_type_matches", 2, _type_matches, deterministic=True)
    for pragma in (f"busy_timeout = {_BUSY_TIMEOUT_MS}", "query_only = ON", "temp_store = MEMORY"):
        dbapi_connection.execute(f"PRAGMA {pragma}").close()
