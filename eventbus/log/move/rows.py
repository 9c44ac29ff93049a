"""Rows of a table in the order of its primary key, read from and written to either database."""

from __future__ import annotations

import time
from collections.abc import Generator, Iterable, Iterator, Sequence
from contextlib import closing
from itertools import count
from typing import Any

from sqlalchemy import Boolean, Connection, Table, Text

from eventbus.log.move.bookmarks import Key
from eventbus.log.prepared import insert_rows

Row = tuple[Any, ...]

# What an interruption costs at most, and how long the target keeps a transaction open.
_CHUNK_ROWS = 5_000
_CHUNK_S = 1.0
# With payloads of a mebibyte each, what is in memory at a time.
_FETCHED_ROWS = 200
_cursors = count(1)

NUL_SHOWN = "\u2400"
"""What stands for U+0000, which PostgreSQL's text cannot have: SYMBOL FOR NULL."""


def rows(
    conn: Connection,
    table: Table,
    after: Key | None = None,
    *,
    only: str = "",
    has_nul: bool = True,
) -> Generator[Row]:
    """Every row behind the key ``after``; in the transaction of ``conn``, which is begun.

    ``only`` is a condition as SQL text. Without ``has_nul``, U+0000 in text is replaced.
    """
    is_server = conn.dialect.name == "postgresql"
    key = ", ".join(_quoted(name) for name in key_of(table))
    conditions = [only] if only else []
    if after is not None:
        marks = ", ".join(["%s" if is_server else "?"] * len(after))
        conditions.append(f"({key}) > ({marks})")
    where = f" WHERE {' AND '.join(conditions)}" if conditions else ""
    columns = ", ".join(_read(column, is_server) for column in table.c)
    query = f"SELECT {columns} FROM {table.name}{where} ORDER BY {key}"
    found = _on_server(conn, query, after) if is_server else _in_file(conn, query, after)
    with closing(found):
        if has_nul or not any(isinstance(column.type, Text) for column in table.c):
            yield from found
        else:
            yield from map(_without_nul, found)


def put(conn: Connection, table: Table, new: Iterable[Row]) -> None:
    """Insert rows, in the transaction of ``conn``; by COPY where there is that."""
    if conn.dialect.name != "postgresql":
        insert_rows(table).run(conn, new)
        return
    driver: Any = conn.connection.driver_connection
    columns = ", ".join(_quoted(column.name) for column in table.c)
    with (
        driver.cursor() as cursor,
        cursor.copy(f"COPY {table.name} ({columns}) FROM STDIN") as copy,
    ):
        for row in new:
            copy.write_row(row)


def key_of(table: Table) -> list[str]:
    """The columns of the primary key."""
    return [column.name for column in table.primary_key]


class Chunk:
    """Some rows of an iterator, those of one transaction; ``last`` is the last that was given."""

    def __init__(self, source: Iterator[Row]) -> None:
        self._source = source
        self.last: Row | None = None
        self.count = 0
        self.is_over = False
        """Whether the iterator has no more."""

    def __iter__(self) -> Iterator[Row]:
        until = time.monotonic() + _CHUNK_S
        for row in self._source:
            self.count += 1
            self.last = row
            yield row
            if self.count >= _CHUNK_ROWS or (self.count % 64 == 0 and time.monotonic() > until):
                return
        self.is_over = True


def _on_server(conn: Connection, query: str, parameters: Sequence[Any] | None) -> Generator[Row]:
    driver: Any = conn.connection.driver_connection
    with driver.cursor(name=f"rows{next(_cursors)}") as cursor:  # the server keeps the rest
        cursor.itersize = _FETCHED_ROWS
        cursor.execute(query, parameters)
        yield from cursor


def _in_file(conn: Connection, query: str, parameters: Sequence[Any] | None) -> Generator[Row]:
    driver: Any = conn.connection.driver_connection
    cursor = driver.execute(query, parameters or ())
    try:
        yield from cursor
    finally:
        cursor.close()


def _read(column: Any, is_server: bool) -> str:
    # SQLite keeps a truth as a number.
    as_number = is_server and isinstance(column.type, Boolean)
    return f"{_quoted(column.name)}::int" if as_number else _quoted(column.name)


def _without_nul(row: Row) -> Row:
    for value in row:
        if value.__class__ is str and "\0" in value:
            return tuple(
                value.replace("\0", NUL_SHOWN) if isinstance(value, str) else value for value in row
            )
    return row


def _quoted(name: str) -> str:
    return f'"{name}"'
