"""The room that the log takes: pages, files, what is free, and giving back what is free."""

from __future__ import annotations

import shutil
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, func, select

from eventbus.log import schema
from eventbus.log.server_space import Pages, server_pages

SQLITE_VERSION = sqlite3.sqlite_version

_events = schema.events


def pages(conn: Connection) -> Pages:
    """As this connection's transaction sees them."""
    if conn.dialect.name == "postgresql":
        return server_pages(conn)
    size, count, free = (
        int(conn.exec_driver_sql(f"PRAGMA {name}").scalar() or 0)
        for name in ("page_size", "page_count", "freelist_count")
    )
    return Pages(size, count, free)


def empty_bytes(conn: Connection) -> int:
    """About what the log takes before its first event; not told of one on a server.

    A table or index takes a page (SQLite's file format, 1.6), and the schema some.
    """
    if conn.dialect.name == "postgresql":
        return 0
    roots = conn.exec_driver_sql("SELECT count(*) FROM sqlite_schema WHERE rootpage > 0").scalar()
    return int(roots or 0) * int(conn.exec_driver_sql("PRAGMA page_size").scalar() or 0)


def gives_back(conn: Connection) -> bool:
    """Whether free pages can be cut off; PostgreSQL's autovacuum keeps its own for what comes."""
    return conn.dialect.name != "postgresql"


def give_back(conn: Connection, count: int) -> None:
    """Cut up to ``count`` free pages off the end of the file."""
    driver: Any = conn.connection.driver_connection
    for _ in range(count):  # of a larger number Python's driver only has the first page done
        driver.execute("PRAGMA incremental_vacuum(1)").close()


def checkpoint(path: Path) -> bool:
    """Have the write-ahead log written to the file, and the file cut; whether all of it was.

    Not what is read or comes meanwhile. On a connection of its own: commits do not wait for it.
    """
    with closing(sqlite3.connect(path, isolation_level=None)) as conn:
        is_busy, frames, written = conn.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchone()
    return not is_busy and frames == written


def file_bytes(path: Path) -> int:
    """The size of a file; 0 when there is none."""
    try:
        return path.stat().st_size
    except FileNotFoundError:
        return 0


def disk_free_bytes(path: Path) -> int:
    """What the file system has left for the user who runs this."""
    return shutil.disk_usage(path.parent).free


def disk_bytes(path: Path) -> tuple[int, int]:
    """What the file system has left for the user who runs this, and its whole size."""
    usage = shutil.disk_usage(path.parent)
    return usage.free, usage.total


def oldest_recorded(conn: Connection) -> tuple[int, int] | None:
    """Sequence and time of recording, in microseconds, of the oldest event that is there."""
    first = select(func.min(_events.c.sequence)).scalar_subquery()
    row = conn.execute(
        select(_events.c.sequence, _events.c.recorded_us).where(_events.c.sequence == first)
    ).first()
    return None if row is None else (row.sequence, row.recorded_us)
