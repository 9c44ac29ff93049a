"""The storage's state: which errors are its own, whether it fails now, whether it is damaged."""

from __future__ import annotations

import logging
import sqlite3
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from sqlalchemy import Connection, Engine, text
from sqlalchemy.exc import DBAPIError, SQLAlchemyError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError

from eventbus.errors import LogDamagedError, LogError, LogReadError, LogWriteError
from eventbus.log.unit import Unit
from eventbus.trouble import Trouble

logger = logging.getLogger("eventbus.log")

# SQLite result codes that say "this database cannot be used now", not "this row is wrong".
_STORAGE_CODES = frozenset(
    {"SQLITE_FULL", "SQLITE_IOERR", "SQLITE_READONLY", "SQLITE_CORRUPT", "SQLITE_NOTADB",
     "SQLITE_CANTOPEN", "SQLITE_BUSY", "SQLITE_LOCKED", "SQLITE_NOMEM", "SQLITE_PERM"}
)  # fmt: skip
# The same of PostgreSQL: classes of SQLSTATE (PostgreSQL's manual, appendix A), and single ones.
# Connection, resources, intervention of an operator, system error; read-only, damaged; deadlock.
_STORAGE_CLASSES = frozenset({"08", "53", "57", "58"})
_STORAGE_STATES = frozenset({"25006", "25P03", "XX001", "XX002", "40001", "40P01", "55P03"})
_DAMAGE_CODES = frozenset({"SQLITE_CORRUPT", "SQLITE_NOTADB", "XX001", "XX002"})
_PROBE_BYTES = 65_536

ADVICE = "stop the server and restore a backup with `flask restore`; docs/reliability.md says more"


def driver_error(error: BaseException) -> BaseException | None:
    """The driver's own error, which SQLAlchemy wraps unless a statement bypassed it."""
    if isinstance(error, DBAPIError):
        return error.orig
    return error if isinstance(error, sqlite3.Error) or hasattr(error, "sqlstate") else None


def storage_code(error: BaseException) -> str | None:
    """The code when the storage itself is at fault, None for any other error.

    SQLite's base result code, or PostgreSQL's SQLSTATE; "08000" when its server is not there.
    """
    original = driver_error(error)
    if original is None:
        return None
    if not hasattr(original, "sqlstate"):
        name = getattr(original, "sqlite_errorname", "") or ""
        base = "_".join(name.split("_")[:2])
        return base if base in _STORAGE_CODES else None
    state: str | None = original.sqlstate
    if state is None:  # it did not come from the server
        is_away = type(original).__name__ in ("OperationalError", "InterfaceError")
        return "08000" if is_away else None
    return state if state[:2] in _STORAGE_CLASSES or state in _STORAGE_STATES else None


def write_failure(error: Exception) -> LogWriteError | None:
    """The LogWriteError for an error of the storage or of a lack of memory, else None."""
    if isinstance(error, MemoryError):
        return LogWriteError("cannot write the log, nothing was recorded: out of memory")
    code = storage_code(error)
    if code is None:
        return None
    original = driver_error(error)
    name = getattr(original, "sqlite_errorname", code)
    if code in _DAMAGE_CODES:
        return LogDamagedError(
            f"the log is damaged, nothing was recorded: {_line(original)} ({name})"
        )
    return LogWriteError(f"cannot write the log, nothing was recorded: {_line(original)} ({name})")


def open_failure(path: Path | str, error: SQLAlchemyError) -> LogError:
    """The LogError for a database that cannot be opened; says what to do."""
    original = getattr(error, "orig", None) or error
    if storage_code(error) in _DAMAGE_CODES:
        return LogDamagedError(f"cannot open the log {path}, it is damaged ({original}): {ADVICE}")
    return LogError(f"cannot open the log {path}: {_line(original)}")


def _line(error: object) -> str:
    """What an error says, in one line: PostgreSQL's have several."""
    return " ".join(str(error).split())


class Storage:
    """Told of every commit and of every failed read; from any thread.

    Damage is for good: nothing more is written until a restart finds the file whole again.
    """

    def __init__(self, name: str = "", *, is_on_server: bool = False) -> None:
        """``name`` is what people are shown: the file, or the URL without its password."""
        self.name = name
        self.is_on_server = is_on_server
        self._lock = threading.Lock()  # guards the three below
        self._write_failure: Trouble | None = None
        self._read_failure: Trouble | None = None
        self._damage: Trouble | None = None
        self._probe: Unit | None = None

    @property
    def is_damaged(self) -> bool:
        return self._damage is not None

    def troubles(self) -> list[Trouble]:
        """What is wrong now, the worst first."""
        with self._lock:
            found = (self._damage, self._write_failure, self._read_failure)
            return [trouble for trouble in found if trouble is not None]

    def damaged(self, detail: str) -> None:
        """Note that the file is damaged."""
        with self._lock:
            if self._damage is None:
                logger.critical("the log is damaged and takes no more events: %s; %s", detail,
                                ADVICE)  # fmt: skip
                self._damage = Trouble.now("damage", f"the log is damaged ({detail}): {ADVICE}")

    def refuse(self, batch: list[Unit]) -> bool:
        """Give every unit its error when nothing may be written any more; returns whether so."""
        damage = self._damage
        if damage is None:
            return False
        for unit in batch:
            unit.error = LogDamagedError(f"nothing was recorded: {damage.detail}")
        return True

    def wrote(self, batch: list[Unit]) -> bool:
        """Note how a commit ended; returns whether the storage took it."""
        error = batch[0].error if batch else None
        if isinstance(error, LogDamagedError):
            self.damaged(str(error))
        elif isinstance(error, LogWriteError):
            with self._lock:
                if self._write_failure is None:
                    self._write_failure = Trouble.now("storage", str(error))
        else:
            if self._write_failure is not None and any(_writes(unit) for unit in batch):
                with self._lock:
                    logger.warning("the log can be written again")
                    self._write_failure = None
            return True
        return False

    def read_failed(self, error: SQLAlchemyError) -> LogReadError | None:
        """Note a failed read; the error to raise for it, None when the storage is not at fault."""
        code = storage_code(error)
        if isinstance(error, PoolTimeoutError):
            failure = LogReadError("cannot read the log: all of its reading connections are taken")
        elif code is None:
            return None
        else:
            reason = _line(getattr(error, "orig", error))
            failure = LogReadError(f"cannot read the log: {reason} ({code})")
        if code in _DAMAGE_CODES:
            self.damaged(str(getattr(error, "orig", error)))
        with self._lock:
            if self._read_failure is None:
                logger.error("%s", failure)
                self._read_failure = Trouble.now("storage", str(failure))
        return failure

    @contextmanager
    def reading(self, engine: Engine) -> Iterator[Connection]:
        """A connection of ``engine``; when the storage fails who reads, LogReadError is raised."""
        try:
            with engine.connect() as conn:
                yield conn
        except SQLAlchemyError as error:
            failure = self.read_failed(error)
            if failure is None:
                raise
            raise failure from error
        self.read()

    def try_read(self, conn: Connection) -> None:
        """Read something on a connection that ``reading`` lends."""
        conn.exec_driver_sql("SELECT 1 FROM schema_versions LIMIT 1").all()

    def read(self) -> None:
        """Note a read that went well."""
        if self._read_failure is not None:
            with self._lock:
                self._read_failure = None

    def probe(self) -> Unit | None:
        """While writing fails: a unit that tries whether there is room again; else None.

        Without it a server that nobody publishes to, because it is not ready, would never be.
        """
        is_waiting = self._probe is not None and not self._probe.is_done
        if self._write_failure is None or self._damage is not None or is_waiting:
            return None
        self._probe = Unit(call=_write_probe)
        return self._probe

    def clear_probe(self) -> Unit | None:
        """A unit that removes what a probe wrote, None when it wrote nothing."""
        if self._probe is None or not self._probe.is_done:
            return None
        written, self._probe = self._probe, None
        return Unit(call=_remove_probe) if written.error is None else None


def _writes(unit: Unit) -> bool:
    is_something = unit.events or unit.successes or unit.outcome or unit.effects or unit.call
    return unit.error is None and bool(is_something)


def _write_probe(conn: Connection) -> None:
    # In a commit of its own: pages that the same transaction frees again are not written at all.
    _remove_probe(conn)
    conn.exec_driver_sql("CREATE TABLE storage_probe (data TEXT)")
    conn.execute(text("INSERT INTO storage_probe VALUES (:data)"), {"data": "0" * _PROBE_BYTES})


def _remove_probe(conn: Connection) -> None:
    conn.exec_driver_sql("DROP TABLE IF EXISTS storage_probe")
