"""A log in PostgreSQL: its connections, and the lock of the process that writes it."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from sqlalchemy import URL, Connection, Engine, create_engine, event
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.pool import QueuePool, StaticPool

from eventbus.errors import LogError, LogLockedError, MissingPackageError
from eventbus.log.address import files_stem
from eventbus.log.lockfile import LockFile
from eventbus.log.storage import Storage, open_failure

logger = logging.getLogger("eventbus.log")

_READ_POOL = 16
_CONNECT_TIMEOUT_S = 5
# The first half of the advisory lock's key; the second is of the schema, so that several logs may
# be in one database.
_LOCK = 0x65766275  # "evbu"

# As ``Pattern`` has it, with "!" for what stands for segments while dots become literal.
_TYPE_MATCHES = r"""
CREATE OR REPLACE FUNCTION eventbus_type_matches(pattern text, type text) RETURNS integer
LANGUAGE sql IMMUTABLE AS $$
    SELECT (('.' || type) ~ ('^' || replace(replace(replace(replace(replace(replace(replace(
        regexp_replace('.' || pattern, '\.\*$', '.!T'),
        '.*', '.!O'), '.+', '.!O'), '.#', '.!M'), '.', '\.'),
        '\.!T', '(\.[^.]+)+'), '\.!O', '\.[^.]+'), '\.!M', '(\.[^.]+)*') || '$'))::integer
$$"""


class PostgresqlDatabase:
    """One schema of a PostgreSQL database, locked for this process as its only writer.

    What is made beside a log (snapshots, the index of the history, scratch databases) is kept in
    SQLite files in a folder here, and is made anew where it is missing.
    """

    def __init__(self, url: URL, files: Path | None = None) -> None:
        """Raises LogError when it cannot be reached, LogLockedError, MissingPackageError."""
        check_installed()
        self._name = url.render_as_string(hide_password=True)
        self.storage = Storage(self._name, is_on_server=True)
        self.owes_check = False
        self._address = url.set(drivername="postgresql+psycopg")
        self.path = files_stem(url, files)
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise LogError(f"cannot make the folder {self.path.parent}: {error}") from error
        self._lock = LockFile(self.path)
        try:
            self._write_engine = self._engine(poolclass=StaticPool)
            event.listen(self._write_engine, "connect", self._take_lock)
            self._read_engine = self._engine(
                poolclass=QueuePool, pool_size=_READ_POOL, max_overflow=_READ_POOL,
                pool_pre_ping=True, isolation_level="REPEATABLE READ",
            ).execution_options(postgresql_readonly=True)  # fmt: skip
            self.writer: Connection = self._write_engine.connect()
            with self.writer.begin():
                _make_functions(self.writer)
        except SQLAlchemyError as error:
            self._lock.close()
            raise open_failure(self._name, error) from error
        except BaseException:
            self._lock.close()
            raise

    def begin(self) -> None:
        """Begin a transaction on the writer's connection: psycopg does, with the first statement.

        Here a connection that was lost is replaced.
        """
        self._renew()

    @contextmanager
    def reading(self) -> Iterator[Connection]:
        """A read-only connection inside one transaction: everything read in it is one state.

        What the storage does to those who read in it is raised as LogReadError.
        """
        try:
            with self._read_engine.connect() as conn:
                yield conn
        except SQLAlchemyError as error:
            failure = self.storage.read_failed(error)
            if failure is None:
                raise
            raise failure from error
        self.storage.read()

    def close(self) -> None:
        """Close all connections; the lock goes with the writer's."""
        self._read_engine.dispose()
        with suppress(SQLAlchemyError):
            self.writer.close()
        self._write_engine.dispose()
        self._lock.close()

    def _engine(self, **options: Any) -> Engine:
        return create_engine(
            self._address,
            connect_args={
                "connect_timeout": _CONNECT_TIMEOUT_S,
                "application_name": "eventbus",
                "keepalives_idle": 30,
                "keepalives_interval": 5,
                "keepalives_count": 3,
            },
            **options,
        )

    def _renew(self) -> None:
        """Connect again when the server has ended the writer's connection."""
        driver: Any = self.writer.connection.driver_connection
        if driver.closed:
            self.writer.invalidate()

    def _take_lock(self, dbapi_connection: Any, _record: Any) -> None:
        with dbapi_connection.cursor() as cursor:
            cursor.execute("SELECT pg_try_advisory_lock(%s, hashtext(current_schema()))", (_LOCK,))
            is_ours = cursor.fetchone()[0]
        dbapi_connection.commit()
        if not is_ours:
            raise LogLockedError(
                f"{self._name} is open for writing in another process: stop that, or use another "
                "EVENTBUS_DATABASE_URL"
            )


def check_installed() -> None:
    """Raise MissingPackageError, which names the extra, when the driver is not installed."""
    try:
        import psycopg  # noqa: F401
    except ImportError as error:  # also when there is no libpq for it
        raise MissingPackageError(
            f"postgresql:// needs the package psycopg, which cannot be loaded ({error}): "
            "pip install 'psycopg[binary]', the extra 'eventbus[postgresql]'"
        ) from error


def _make_functions(conn: Connection) -> None:
    """What the log's statements call and the database does not have by itself."""
    there = "SELECT to_regproc('eventbus_type_matches') IS NOT NULL"
    if not conn.exec_driver_sql(there).scalar():
        conn.exec_driver_sql(_TYPE_MATCHES)
