"""A log in an SQLite file: who may write it, how connections are set up, where they come from."""

from __future__ import annotations

import shutil
import tempfile
from contextlib import AbstractContextManager, suppress
from functools import lru_cache, partial
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, Engine, create_engine, event, make_url
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.pool import QueuePool, StaticPool

from eventbus.errors import LogDamagedError, LogError
from eventbus.log.companions import COMPANIONS
from eventbus.log.integrity import quick_check
from eventbus.log.lockfile import LockFile
from eventbus.log.storage import ADVICE, Storage, open_failure
from eventbus.patterns import Pattern

_BUSY_TIMEOUT_MS = 5_000
_READ_POOL = 16
# With 64 MiB commits read no less from a log of 400,000 events: what they touch is its end.
WRITER_CACHE_KIB = 16 * 1024
# Each of up to 32 connections has one: what it does not hold, the system's own cache does.
_READER_CACHE_KIB = 512


class SqliteDatabase:
    """One SQLite database, locked for this process as its only writer.

    ``writer`` is the single writing connection; whoever uses it holds the log's commit lock.
    ``reading()`` lends a read-only connection, from any thread, on a snapshot of what is committed.
    """

    channel = ""

    def __init__(self, url: str, writer_cache_kib: int = WRITER_CACHE_KIB) -> None:
        """``url`` is ``sqlite:///path``; ``sqlite://`` is a temporary file that ``close`` removes.

        Raises LogError for a file that cannot be opened, LogLockedError when it is open
        elsewhere, LogDamagedError.
        """
        self._temporary: str | None = None
        self.path = self.shared_path = self._resolve(url)
        self.storage = Storage(str(self.path))
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            self._lock = LockFile(self.path)
        except OSError as error:
            raise LogError(f"cannot open the log {self.path}: {error}") from error
        try:
            self._check_file()
        except BaseException:
            self._lock.close(is_clean=False)
            raise
        address = f"sqlite:///{self.path}"
        try:
            self._write_engine = _engine(address, begin="BEGIN IMMEDIATE", poolclass=StaticPool)
            event.listen(self._write_engine, "connect", partial(_set_up_writer, writer_cache_kib))
            self._read_engine = _engine(
                address, begin="BEGIN", poolclass=QueuePool, pool_size=_READ_POOL,
                max_overflow=_READ_POOL,
            )  # fmt: skip
            event.listen(self._read_engine, "connect", _set_up_reader)
            self.writer: Connection = self._write_engine.connect()
        except SQLAlchemyError as error:
            self._lock.close(is_clean=not self.owes_check)
            raise open_failure(self.path, error) from error

    def roll_back(self) -> None:
        """End a transaction on the writer's connection that failed, at whatever point it did."""
        self.writer.connection.rollback()

    def reading(self) -> AbstractContextManager[Connection]:
        """A read-only connection inside one transaction: everything read in it is one state.

        What the storage does to those who read in it is raised as LogReadError.
        """
        return self.storage.reading(self._read_engine)

    def close(self) -> None:
        """Close all connections (which folds the WAL into the file) and give the lock back."""
        self._read_engine.dispose()
        with suppress(SQLAlchemyError):  # a disk that fails cannot be written for the last time
            self.writer.close()
        self._write_engine.dispose()
        if self.storage.is_damaged:
            with suppress(OSError):
                self._lock.mark("damaged")
        self._lock.close(is_clean=not (self.owes_check or self.storage.is_damaged))
        if self._temporary is not None:
            shutil.rmtree(self._temporary)

    def _check_file(self) -> None:
        """Refuse what would lose events if it were written to."""
        is_there = self.path.exists()
        wal = COMPANIONS[0].of(self.path)
        has_wal = wal.exists() and wal.stat().st_size > 0
        self.owes_check = is_there and (has_wal or bool(self._lock.found))
        """Whether a holder before did not come to its end, and nobody has checked the file since:
        its WAL or its mark is still there."""
        if self._lock.found_state == "restoring":
            self._lock.mark("restoring")  # still so, also for the next one
            raise LogError(
                f"a restore of {self.path} was cut off in the middle: run `flask restore` again"
            )
        if is_there and (links := self.path.stat().st_nlink) > 1:
            raise LogError(
                f"{self.path} has {links} names (hard links): SQLite keeps what was committed last "
                "beside the name by which it was opened, so opening another one loses it; remove "
                "the other names, or make copies with `flask backup`"
            )
        if self._lock.found_state == "damaged":
            self._lock.mark("damaged")
            problems = quick_check(self.path)
            if problems:
                raise LogDamagedError(
                    f"the log {self.path} is damaged ({problems[0]}; {len(problems)} findings in "
                    f"all): {ADVICE}"
                )
            self._lock.mark("running")

    def _resolve(self, url: str) -> Path:
        database = make_url(url).database
        if database in (None, "", ":memory:"):
            self._temporary = tempfile.mkdtemp(prefix="eventbus-")
            return Path(self._temporary, "events.db")
        return Path(database).resolve()  # a link must not get a lock of its own


def _engine(address: str, *, begin: str, **options: Any) -> Engine:
    engine = create_engine(address, connect_args={"check_same_thread": False}, **options)

    @event.listens_for(engine, "connect")
    def own_the_transactions(dbapi_connection: Any, _record: Any) -> None:
        dbapi_connection.isolation_level = None  # the driver must not begin or commit by itself

    @event.listens_for(engine, "begin")
    def begin_explicitly(conn: Connection) -> None:
        conn.exec_driver_sql(begin)

    return engine


def _set_up_writer(cache_kib: int, dbapi_connection: Any, _record: Any) -> None:
    for pragma in (
        "auto_vacuum = INCREMENTAL",  # only takes effect before the first table exists
        "journal_mode = WAL",
        "synchronous = FULL",  # an acknowledged publish survives a power cut, not only a crash
        f"busy_timeout = {_BUSY_TIMEOUT_MS}",
        f"cache_size = -{cache_kib}",
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
    for pragma in (
        f"busy_timeout = {_BUSY_TIMEOUT_MS}", "query_only = ON", "temp_store = MEMORY",
        f"cache_size = -{_READER_CACHE_KIB}",
    ):  # fmt: skip
        dbapi_connection.execute(f"PRAGMA {pragma}").close()
