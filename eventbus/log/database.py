"""The database under a log, whichever it is: what the log needs of it, and opening it by URL."""

from __future__ import annotations

from contextlib import AbstractContextManager
from pathlib import Path
from typing import Protocol

from sqlalchemy import Connection, make_url
from sqlalchemy.exc import ArgumentError

from eventbus.errors import LogError
from eventbus.log.storage import Storage


class Database(Protocol):
    """One database; in SQLite this process is the only one that has it open.

    ``writer`` is the process's single writing connection; whoever uses it holds the log's commit
    lock.
    ``path`` is the database's file, or for a database on a server the stem of the files that are
    kept here for it: what stands beside the log has that name and a suffix.
    """

    channel: str
    """On which processes that share the log tell each other of commits; "" when none do."""
    path: Path
    shared_path: Path
    """``path`` is this process's alone; this one all processes of the machine have."""
    storage: Storage
    writer: Connection
    owes_check: bool
    """Whether a holder before did not come to its end, and nobody has checked the file since."""

    def roll_back(self) -> None:
        """End a transaction on the writer's connection that failed, at whatever point it did."""

    def reading(self) -> AbstractContextManager[Connection]:
        """A read-only connection inside one transaction: everything read in it is one state.

        What the storage does to those who read in it is raised as LogReadError.
        """

    def close(self) -> None:
        """Close all connections and give the lock back."""


def open_database(url: str, files: Path | None = None) -> Database:
    """Open the log's database: ``sqlite:///path`` or ``postgresql://user@host/name``.

    ``files`` is the folder for what is kept here of a database on a server. Raises LogError for
    another URL or one that cannot be opened, LogLockedError when it is open elsewhere,
    LogDamagedError, MissingPackageError.
    """
    try:
        parsed = make_url(url)
    except ArgumentError as error:
        raise LogError(  # not what was given: it may have a password
            "that is not a database URL; use sqlite:///path/to/events.db or "
            "postgresql://user:password@host/name"
        ) from error
    backend = parsed.get_backend_name()
    if backend == "sqlite":
        from eventbus.log.sqlite import SqliteDatabase

        return SqliteDatabase(url)
    if backend == "postgresql":
        from eventbus.log.postgresql import PostgresqlDatabase

        return PostgresqlDatabase(parsed, files)
    shown = parsed.render_as_string(hide_password=True)
    raise LogError(f"the log needs an sqlite:/// or postgresql:// URL, not {shown}")
