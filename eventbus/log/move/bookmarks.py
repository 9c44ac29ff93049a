"""How far a copy has come: kept in the target, in the transactions that bring the rows."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from typing import Any

from sqlalchemy import (
    BigInteger,
    Column,
    Connection,
    Integer,
    MetaData,
    Table,
    Text,
    inspect,
    select,
)

from eventbus.errors import LogError
from eventbus.log.upsert import upsert

BOOKMARKS = "unfinished_move"
_THE_SOURCE = "the source"  # no table is called that

_bookmarks = Table(
    BOOKMARKS,
    MetaData(),
    Column("name", Text, primary_key=True),
    Column("position", Text, nullable=False),  # JSON
    Column("rows", BigInteger, nullable=False),
    Column("is_done", Integer, nullable=False),
)

Key = tuple[Any, ...]


@dataclass(frozen=True, slots=True)
class Bookmark:
    """Of one table: the key of the last row that was copied, and how many rows were."""

    after: Key | None = None
    rows: int = 0
    is_done: bool = False

    def moved(self, after: Key | None, rows: int, *, is_done: bool) -> Bookmark:
        """It, a number of rows further."""
        return replace(self, after=after or self.after, rows=self.rows + rows, is_done=is_done)


def is_unfinished(conn: Connection) -> bool:
    """Whether a copy into this database has begun and not ended."""
    return inspect(conn).has_table(BOOKMARKS)


def refuse_unfinished(conn: Connection, name: object) -> None:
    """Raise LogError when a copy into this database has not ended; in a transaction of its own."""
    with conn.begin():
        if is_unfinished(conn):
            raise LogError(
                f"{name} has a part of another log: `flask migrate-store` into it has not ended; "
                "run that again"
            )


def begin(conn: Connection, source: dict[str, Any]) -> None:
    """Mark the database; ``source`` is what tells whether the source is still the same."""
    _bookmarks.create(conn)
    _save(conn, _THE_SOURCE, source, 0, False)


def source_of(conn: Connection) -> dict[str, Any]:
    """What ``begin`` was given."""
    row = conn.execute(
        select(_bookmarks.c.position).where(_bookmarks.c.name == _THE_SOURCE)
    ).scalar_one()
    found: dict[str, Any] = json.loads(row)
    return found


def load(conn: Connection) -> dict[str, Bookmark]:
    """The bookmark of every table that has one."""
    return {
        row.name: Bookmark(tuple(json.loads(row.position)) or None, row.rows, bool(row.is_done))
        for row in conn.execute(select(_bookmarks).where(_bookmarks.c.name != _THE_SOURCE))
    }


def save(conn: Connection, name: str, bookmark: Bookmark) -> None:
    """Keep the bookmark of a table; in the transaction that brings its rows."""
    _save(conn, name, list(bookmark.after or ()), bookmark.rows, bookmark.is_done)


def drop(conn: Connection) -> None:
    """The copy has ended: from now on this is a log like any other."""
    _bookmarks.drop(conn)


def _save(conn: Connection, name: str, position: object, rows: int, is_done: bool) -> None:
    values = {"position": json.dumps(position), "rows": rows, "is_done": int(is_done)}
    mark = upsert(_bookmarks).values(name=name, **values)
    conn.execute(mark.on_conflict_do_update(index_elements=["name"], set_=values))
