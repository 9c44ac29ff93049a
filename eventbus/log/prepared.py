"""Statements for many rows at once: compiled once, run with flat lists of plain values."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from itertools import chain
from typing import Any

from sqlalchemy import Connection, Table

# Halving from here serves any number of rows with few statements, which the driver keeps prepared.
MOST_ROWS = 128


class ManyRows:
    """A statement around a list of rows, ``VALUES (?, ?), (?, ?), ...``.

    Python's driver lets go of the interpreter for every step of a statement. One statement a row
    then costs, while another thread computes, its turn of 5 ms *for each row*; one for 128 rows
    costs one turn, and less time even when nobody else runs.
    """

    def __init__(self, statement: Callable[[str], str], width: int) -> None:
        """``statement`` makes the SQL text around the rows; ``width`` values make a row."""
        self._statement = statement
        self._row = f"({', '.join('?' * width)})"
        self.width = width
        self._texts: dict[int, str] = {}

    def run(self, conn: Connection, rows: Iterable[Sequence[Any]]) -> None:
        """Execute for every row; nothing for none."""
        self.run_flat(conn, list(chain.from_iterable(rows)))

    def run_flat(self, conn: Connection, values: list[Any]) -> int:
        """Execute for rows whose values stand one after the other; returns how many it met."""
        if not values:
            return 0
        driver = conn.connection.driver_connection
        assert driver is not None, "a connection that is in use"
        width = self.width
        count = len(values) // width
        start = met = 0
        size = MOST_ROWS
        while start < count:
            if count - start < size:
                size >>= 1
                continue
            part = values if size == count else values[start * width : (start + size) * width]
            met += driver.execute(self._text(size), part).rowcount
            start += size
        return met

    def _text(self, size: int) -> str:
        text = self._texts.get(size)
        if text is None:
            text = self._texts[size] = self._statement(", ".join([self._row] * size))
        return text


def insert_rows(table: Table, *columns: str) -> ManyRows:
    """Insert whole rows, or only ``columns`` of them."""
    names = columns or tuple(column.name for column in table.c)
    head = f"INSERT INTO {table.name} ({', '.join(names)}) VALUES "
    return ManyRows(lambda rows: head + rows, len(names))


def update_rows(
    table: Table, columns: Sequence[str], key: Sequence[str], *, fixed: str = "", only: str = ""
) -> ManyRows:
    """Update ``columns`` of the rows that ``key`` names; each row gives both, in this order.

    ``fixed`` are assignments and ``only`` is a condition that hold for all rows, as SQL text.
    """
    name = table.name
    changes = [f"{column} = given.column{i}" for i, column in enumerate(columns, start=1)]
    where = [f"{name}.{column} = given.column{i}" for i, column in enumerate(key, len(columns) + 1)]
    head = f"UPDATE {name} SET {', '.join([*filter(None, [fixed]), *changes])} FROM (VALUES "
    tail = f") AS given WHERE {' AND '.join([*where, *filter(None, [only])])}"
    return ManyRows(lambda rows: f"{head}{rows}{tail}", len(columns) + len(key))
