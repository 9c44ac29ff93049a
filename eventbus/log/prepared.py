"""Statements for many rows at once: compiled once, run with flat lists of plain values."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from itertools import chain
from typing import Any

from sqlalchemy import Connection, Table
from sqlalchemy.dialects import postgresql

# Halving from here serves any number of rows with few statements, which the driver keeps prepared.
MOST_ROWS = 128

_POSTGRESQL = postgresql.dialect()  # type: ignore[no-untyped-call]


class ManyRows:
    """A statement around a list of rows, ``VALUES (?, ?), (?, ?), ...``.

    SQLite's driver lets go of the interpreter for every step of a statement. One statement a row
    then costs, while another thread computes, its turn of 5 ms *for each row*; one for 128 rows
    costs one turn, and less time even when nobody else runs.
    """

    def __init__(self, statement: Callable[[str], str], types: Sequence[str]) -> None:
        """``statement`` makes the SQL text around the rows, in words of every database.

        ``types`` are those of a row's values: PostgreSQL has to be told where it could not see.
        """
        self._statement = statement
        self.width = len(types)
        self._row = f"({', '.join('?' * self.width)})"
        self._pg_row = f"({', '.join(['%s'] * self.width)})"
        self._pg_first = f"({', '.join(f'%s::{type}' for type in types)})"
        self._texts: dict[int, str] = {}
        self._pg_texts: dict[int, str] = {}

    def run(self, conn: Connection, rows: Iterable[Sequence[Any]]) -> None:
        """Execute for every row; nothing for none."""
        self.run_flat(conn, list(chain.from_iterable(rows)))

    def run_flat(self, conn: Connection, values: list[Any]) -> int:
        """Execute for rows whose values stand one after the other; returns how many it met."""
        if not values:
            return 0
        driver = conn.connection.driver_connection
        assert driver is not None, "a connection that is in use"
        text = self._pg_text if conn.dialect.name == "postgresql" else self._text
        width = self.width
        count = len(values) // width
        start = met = 0
        size = MOST_ROWS
        while start < count:
            if count - start < size:
                size >>= 1
                continue
            part = values if size == count else values[start * width : (start + size) * width]
            met += driver.execute(text(size), part).rowcount
            start += size
        return met

    def _text(self, size: int) -> str:
        text = self._texts.get(size)
        if text is None:
            text = self._texts[size] = self._statement(", ".join([self._row] * size))
        return text

    def _pg_text(self, size: int) -> str:
        text = self._pg_texts.get(size)
        if text is None:
            rows = ", ".join([self._pg_first, *[self._pg_row] * (size - 1)])
            text = self._pg_texts[size] = self._statement(rows)
        return text


def insert_rows(table: Table, *columns: str) -> ManyRows:
    """Insert whole rows, or only ``columns`` of them."""
    names = columns or tuple(column.name for column in table.c)
    head = f"INSERT INTO {table.name} ({', '.join(map(_quoted, names))}) VALUES "
    return ManyRows(lambda rows: head + rows, _types(table, names))


def update_rows(
    table: Table, columns: Sequence[str], key: Sequence[str], *, fixed: str = "", only: str = ""
) -> ManyRows:
    """Update ``columns`` of the rows that ``key`` names; each row gives both, in this order.

    ``fixed`` are assignments and ``only`` is a condition that hold for all rows, as SQL text.
    """
    name = table.name
    changes = [f"{_quoted(column)} = given.column{i}" for i, column in enumerate(columns, start=1)]
    where = [
        f"{name}.{_quoted(column)} = given.column{i}"
        for i, column in enumerate(key, len(columns) + 1)
    ]
    head = f"UPDATE {name} SET {', '.join([*filter(None, [fixed]), *changes])} FROM (VALUES "
    tail = f") AS given WHERE {' AND '.join([*where, *filter(None, [only])])}"
    return ManyRows(lambda rows: f"{head}{rows}{tail}", _types(table, (*columns, *key)))


def _types(table: Table, names: Sequence[str]) -> list[str]:
    return [table.c[name].type.compile(_POSTGRESQL) for name in names]


def _quoted(column: str) -> str:
    return f'"{column}"'
