"""Statements for many rows at once: compiled once, run with flat lists of plain values."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from itertools import chain
from typing import Any

from sqlalchemy import Connection, Table
from sqlalchemy.dialects import postgresql

# Halving from here serves any number of rows with few statements, which the driver keeps prepared.
MOST_ROWS = 128

# Fewer rows are sooner there in a statement, which takes a turn to the server less than COPY.
_COPIED = 8
_ROWS = "<rows>"
_POSTGRESQL = postgresql.dialect()  # type: ignore[no-untyped-call]


class ManyRows:
    """A statement around a list of rows, ``VALUES (?, ?), (?, ?), ...``.

    SQLite's driver lets go of the interpreter for every step of a statement. One statement a row
    then costs, while another thread computes, its turn of 5 ms *for each row*; one for 128 rows
    costs one turn, and less time even when nobody else runs.

    PostgreSQL gets the rows as an array for each column, in a statement that is the same for any
    number of them, and what is only inserted by COPY, which has no parameters.
    """

    def __init__(
        self, statement: Callable[[str], str], types: Sequence[str], copied: str | None = None
    ) -> None:
        """``statement`` makes the SQL text around the rows, which follow its ``VALUES``.

        ``types`` are those of a row's values: PostgreSQL has to be told where it could not see.
        ``copied``: the table with its columns, when the rows are only inserted.
        """
        self._statement = statement
        self.width = len(types)
        self._row = f"({', '.join('?' * self.width)})"
        self._texts: dict[int, str] = {}
        self._copy = f"COPY {copied} FROM STDIN" if copied else None
        self._pg_one = statement(f"({', '.join(f'%s::{type}' for type in types)})")
        arrays = ", ".join(f"%s::{type}[]" for type in types)
        columns = ", ".join(f"column{n}" for n in range(1, self.width + 1))
        self._pg_many = statement(_ROWS).replace(
            f"VALUES {_ROWS}", f"SELECT * FROM unnest({arrays}) AS arrays ({columns})"
        )

    def run(self, conn: Connection, rows: Iterable[Sequence[Any]]) -> None:
        """Execute for every row; nothing for none."""
        self.run_flat(conn, list(chain.from_iterable(rows)))

    def run_flat(self, conn: Connection, values: list[Any]) -> int:
        """Execute for rows whose values stand one after the other; returns how many it met."""
        if not values:
            return 0
        driver = conn.connection.driver_connection
        assert driver is not None, "a connection that is in use"
        if conn.dialect.name == "postgresql":
            return self._run_there(driver, values)
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

    def _run_there(self, driver: Any, values: list[Any]) -> int:
        width = self.width
        count = len(values) // width
        if count == 1:
            return int(driver.execute(self._pg_one, values).rowcount)
        if self._copy is None or count < _COPIED:
            arrays = [values[column::width] for column in range(width)]
            return int(driver.execute(self._pg_many, arrays).rowcount)
        with driver.cursor() as cursor, cursor.copy(self._copy) as copy:
            for start in range(0, len(values), width):
                copy.write_row(values[start : start + width])
        return count

    def _text(self, size: int) -> str:
        text = self._texts.get(size)
        if text is None:
            text = self._texts[size] = self._statement(", ".join([self._row] * size))
        return text


def insert_rows(table: Table, *columns: str) -> ManyRows:
    """Insert whole rows, or only ``columns`` of them."""
    names = columns or tuple(column.name for column in table.c)
    place = f"{table.name} ({', '.join(map(_quoted, names))})"
    return ManyRows(
        lambda rows: f"INSERT INTO {place} VALUES {rows}", _types(table, names), copied=place
    )


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
