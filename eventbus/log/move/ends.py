"""The two ends of a move: the source as it is, and a target that has nothing but this copy."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from sqlalchemy import Connection, TextClause, inspect, make_url, text

from eventbus.errors import LogLockedError, MoveError
from eventbus.log.address import is_on_server, shown_url
from eventbus.log.backup import sync
from eventbus.log.companions import COMPANIONS
from eventbus.log.database import Database, open_database
from eventbus.log.lockfile import LockFile
from eventbus.log.move.bookmarks import is_unfinished, refuse_unfinished
from eventbus.log.postgresql import OPEN_LOCK

_UNFINISHED = "-moving"
_ONLY_EMPTY = "a log is copied into an empty schema only (?options=-csearch_path%3DNAME names one)"

# What an extension has made in the schema is not somebody's data.
_FOREIGN = text("""
    SELECT c.relname FROM pg_class AS c
    WHERE c.relnamespace = current_schema()::regnamespace AND c.relkind IN ('r', 'p', 'v', 'm', 'f')
    AND NOT EXISTS (SELECT 1 FROM pg_depend AS d WHERE d.objid = c.oid AND d.deptype = 'e')
    ORDER BY c.relname""")
_TABLES = text("SELECT name FROM sqlite_schema WHERE name NOT LIKE 'sqlite_%' ORDER BY name")
# Each process with the log open holds it together with the others; who moves it, alone.
_LOCK = text(f"SELECT pg_try_advisory_lock({OPEN_LOCK}, hashtext(current_schema()))")


def file_of(url: str) -> Path | None:
    """The file of an SQLite URL; None for a database on a server. Raises MoveError."""
    if is_on_server(url):
        return None
    name = make_url(url).database
    if name in (None, "", ":memory:"):
        raise MoveError(f"{url} names no file")
    return Path(str(name)).resolve()


@contextmanager
def opened(url: str, files: Path | None) -> Iterator[Database]:
    """A log that is there, for this process alone. Raises MoveError, LogError, LogLockedError."""
    file = file_of(url)
    if file is not None and not file.is_file():
        raise MoveError(f"there is no log at {file}")
    database = open_database(url, files)
    try:
        _check_server(database, url)
        with database.writer.begin():
            if not inspect(database.writer).has_table("events"):
                raise MoveError(f"there is no log in {shown_url(url)}")
        refuse_unfinished(database.writer, shown_url(url))
        yield database
    finally:
        database.close()


@contextmanager
def opened_target(url: str, files: Path | None) -> Iterator[Database]:
    """What is to be a log: empty, or with what an unfinished copy has brought.

    A file has its own name only once ``finish`` was called. Raises as ``opened``.
    """
    file = file_of(url)
    if file is None:
        database = open_database(url, files)
        try:
            _check_server(database, url)
            with database.writer.begin():
                _check_empty(database.writer, shown_url(url), _FOREIGN)
            yield database
        finally:
            database.close()
        return
    file.parent.mkdir(parents=True, exist_ok=True)
    lock = LockFile(file)  # no server makes an empty log there meanwhile
    try:
        if file.exists():
            raise MoveError(f"{file} is there already; nothing is ever overwritten")
        database = open_database(f"sqlite:///{unfinished(file)}")
        try:
            with database.writer.begin():
                _check_empty(database.writer, str(unfinished(file)), _TABLES)
            yield database
        finally:
            database.close()
    finally:
        lock.close()


def unfinished(file: Path) -> Path:
    """The file that is filled until it may be called ``file``."""
    return file.with_name(file.name + _UNFINISHED)


def finish(url: str) -> None:
    """Give a closed target its name."""
    file = file_of(url)
    if file is None:
        return
    partial = unfinished(file)
    sync(partial)
    try:
        os.link(partial, file)  # unlike a renaming, it never replaces what has come meanwhile
    except FileExistsError:
        raise MoveError(f"{file} has come meanwhile; the copy is {partial}") from None
    partial.unlink()
    for companion in COMPANIONS:
        if companion.of(partial).exists():
            companion.of(partial).rename(companion.of(file))
    partial.with_name(partial.name + "-lock").unlink(missing_ok=True)
    sync(file.parent)


def _check_server(database: Database, url: str) -> None:
    conn = database.writer
    if conn.dialect.name != "postgresql":
        return
    with conn.begin():
        if conn.execute(text("SELECT current_schema()")).scalar() is None:
            raise MoveError(f"the schema that {shown_url(url)} names is not there; make it first")
        if (encoding := conn.execute(text("SHOW server_encoding")).scalar()) != "UTF8":
            raise MoveError(f"{shown_url(url)} keeps text as {encoding}; a log needs UTF8")
        is_ours = conn.execute(_LOCK).scalar()
    if not is_ours:
        raise LogLockedError(f"{shown_url(url)} is open in another process: stop that first")


def _check_empty(conn: Connection, name: str, query: TextClause) -> None:
    if is_unfinished(conn):
        return
    there = list(conn.execute(query).scalars())
    if "events" in there:
        raise MoveError(
            f"{name} has a log already; nothing is ever overwritten (--check compares the two)"
        )
    if there:
        raise MoveError(f"{name} is not empty, it has {', '.join(there[:10])}; {_ONLY_EMPTY}")
