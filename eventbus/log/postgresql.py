"""A log in PostgreSQL: its connections, and the files that a process keeps beside it."""

from __future__ import annotations

import hashlib
import logging
from contextlib import AbstractContextManager, suppress
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
_MOST_PROCESSES = 256  # of one machine
# Of an advisory lock's key; the rest is the schema's. Each process that has the log open shares it.
OPEN_LOCK = 0x65766369
_CONNECT: dict[str, Any] = {
    "connect_timeout": 5,
    "application_name": "eventbus",
    "client_encoding": "utf8",  # else text of a database without an encoding comes as bytes
    "keepalives_idle": 30,
    "keepalives_interval": 5,
    "keepalives_count": 3,
    "tcp_user_timeout": 10_000,  # ms in which what was sent has to be acknowledged
}
# The server's own, of each connection: a machine that is gone without a word is noticed in 25 s,
# also when the server is waiting for it to acknowledge an answer (tcp_user_timeout, in ms).
_KEEPALIVE = (
    "SET tcp_keepalives_idle = 10; SET tcp_keepalives_interval = 5; "
    "SET tcp_keepalives_count = 3; SET tcp_user_timeout = 25000"
)
# So a process that stops in the middle of a transaction does not hold up all others for ever.
_STUCK_S = 15.0
_IDLE_SINCE = 140_000  # the server's version that knows idle_session_timeout
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
    """One schema of a PostgreSQL database, which any number of processes may have open.

    What is made beside a log (snapshots, the index of the history, scratch databases) is kept in
    SQLite files in a folder here, and is made anew where it is missing.
    """

    def __init__(self, url: URL, files: Path | None = None) -> None:
        """Raises LogError when it cannot be reached, MissingPackageError."""
        check_installed()
        self._name = url.render_as_string(hide_password=True)
        self.storage = Storage(self._name, is_on_server=True)
        self.owes_check = False
        self._address = url.set(drivername="postgresql+psycopg")
        self.shared_path = files_stem(url, files)
        self.path, self._lock = _own_files(self.shared_path)
        try:
            self._write_engine = self._engine(poolclass=StaticPool)
            event.listen(self._write_engine, "connect", self._take_part)
            self._read_engine = self._engine(
                poolclass=QueuePool, pool_size=_READ_POOL, max_overflow=_READ_POOL,
                pool_pre_ping=True, isolation_level="REPEATABLE READ",
            ).execution_options(postgresql_readonly=True)  # fmt: skip
            event.listen(self._read_engine, "connect", _find_nothing_with_nul)
            self.writer: Connection = self._write_engine.connect()
            with self.writer.begin():
                lock_schema(self.writer)
                _make_functions(self.writer)
                schema = self.writer.exec_driver_sql("SELECT current_schema()").scalar_one()
            self.channel = f"eventbus_{hashlib.sha256(schema.encode()).hexdigest()[:16]}"
        except SQLAlchemyError as error:
            self._lock.close()
            raise open_failure(self._name, error) from error
        except BaseException:
            self._lock.close()
            raise

    def roll_back(self) -> None:
        """End a transaction that failed; a connection that cannot go on is replaced by the next."""
        from psycopg.pq import TransactionStatus

        driver: Any = None
        with suppress(Exception):  # it may be lost, and the server may be away
            driver = self.writer.connection.driver_connection
            driver.rollback()
        if driver is None or driver.info.transaction_status != TransactionStatus.IDLE:
            self.writer.invalidate()

    def reading(self) -> AbstractContextManager[Connection]:
        """A read-only connection inside one transaction: everything read in it is one state.

        What the storage does to those who read in it is raised as LogReadError.
        """
        return self.storage.reading(self._read_engine)

    def close(self) -> None:
        """Close all connections."""
        self._read_engine.dispose()
        with suppress(SQLAlchemyError):
            self.writer.close()
        self._write_engine.dispose()
        self._lock.close()

    def _engine(self, **options: Any) -> Engine:
        engine = create_engine(self._address, connect_args=_CONNECT, **options)
        event.listen(engine, "connect", _ask_for_it)
        return engine

    def _take_part(self, dbapi_connection: Any, _record: Any) -> None:
        """Be seen to have the log open; who needs it for himself has this lock alone."""
        encoding = dbapi_connection.info.parameter_status("server_encoding")
        if encoding not in (None, "UTF8"):
            raise LogError(
                f"{self._name} has the encoding {encoding}, and a log needs UTF8: make a database "
                "with ENCODING 'UTF8' TEMPLATE template0"
            )
        with dbapi_connection.cursor() as cursor:
            cursor.execute(f"SET idle_in_transaction_session_timeout = {_STUCK_S * 1e3:.0f}")
            cursor.execute("SELECT current_schema(), current_setting('search_path')")
            schema, search_path = cursor.fetchone()
            if schema is None:
                raise LogError(
                    f"{self._name} has no schema to put the tables into: none of its search_path, "
                    f"{search_path!r}, is there for this user; make it with CREATE SCHEMA"
                )
            cursor.execute(
                "SELECT pg_try_advisory_lock_shared(%s, hashtext(current_schema()))", (OPEN_LOCK,)
            )
            is_in = cursor.fetchone()[0]
        dbapi_connection.commit()
        if not is_in:
            raise LogLockedError(
                f"{self._name} is being changed as a whole by another process: wait for its end, "
                "or use another EVENTBUS_DATABASE_URL"
            )

    def connect(self, most_idle_s: float = 0.0) -> Any:
        """A connection of psycopg's own, with every statement a transaction; raises psycopg's.

        The server ends it when nothing comes for ``most_idle_s`` seconds, unless that is 0.
        """
        import psycopg

        # Not by its URL: a space among the options is "+" there, which libpq does not read as one.
        words, options = self._write_engine.dialect.create_connect_args(self._address)
        driver = psycopg.connect(*words, **{**options, **_CONNECT}, autocommit=True)
        driver.execute(_KEEPALIVE)
        if most_idle_s and driver.info.server_version >= _IDLE_SINCE:
            driver.execute(f"SET idle_session_timeout = {most_idle_s * 1e3:.0f}")
        return driver


def _ask_for_it(dbapi_connection: Any, _record: Any) -> None:
    """Have the server end the session of a machine that is gone."""
    with dbapi_connection.cursor() as cursor:
        cursor.execute(_KEEPALIVE)
    dbapi_connection.commit()


def _find_nothing_with_nul(dbapi_connection: Any, _record: Any) -> None:
    """Have who asks for a text with the character NUL find nothing, as in SQLite.

    PostgreSQL does not know the character, so nothing that is recorded may have it.
    """
    from psycopg.types.string import StrDumper

    class WithoutNul(StrDumper):
        def dump(self, obj: str) -> Any:
            return super().dump(obj.replace("\0", "\ufffd"))

    dbapi_connection.adapters.register_dumper(str, WithoutNul)


def check_installed() -> None:
    """Raise MissingPackageError, which names the extra, when the driver is not installed."""
    try:
        import psycopg  # noqa: F401
    except ImportError as error:  # also when there is no libpq for it
        raise MissingPackageError(
            f"postgresql:// needs the package psycopg, which cannot be loaded ({error}): "
            "pip install 'psycopg[binary]', the extra 'eventbus[postgresql]'"
        ) from error


def _own_files(stem: Path) -> tuple[Path, LockFile]:
    """The stem of this process's files: of those on this machine the first that nobody uses."""
    try:
        stem.parent.mkdir(parents=True, exist_ok=True)
        for number in range(1, _MOST_PROCESSES + 1):
            path = stem if number == 1 else stem.with_name(f"{stem.stem}-{number}{stem.suffix}")
            with suppress(LogLockedError):
                return path, LockFile(path)
    except OSError as error:
        raise LogError(f"cannot use the folder {stem.parent}: {error}") from error
    raise LogLockedError(
        f"{_MOST_PROCESSES} processes of this machine have this log's files in {stem.parent} open"
    )


def lock_schema(conn: Connection) -> None:
    """Let no other process change the tables until this transaction ends."""
    conn.exec_driver_sql("SELECT pg_advisory_xact_lock(hashtext(current_schema()))")


def _make_functions(conn: Connection) -> None:
    """What the log's statements call and the database does not have by itself."""
    there = "SELECT to_regproc('eventbus_type_matches') IS NOT NULL"
    if not conn.exec_driver_sql(there).scalar():
        conn.exec_driver_sql(_TYPE_MATCHES)
