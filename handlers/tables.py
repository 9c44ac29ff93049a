"""What the read models' tables share: their metadata, and reading and saving many rows at once."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from operator import itemgetter
from typing import Any, TypeVar

from sqlalchemy import Connection, Executable, MetaData, Select, Table, bindparam, insert, update
from sqlalchemy.sql.compiler import SQLCompiler

metadata = MetaData()

Record = tuple[Any, ...]
"""A row to save: the values of all columns in the table's order."""

K = TypeVar("K")
_KEYS_PER_QUERY = 500


def rows_for(
    conn: Connection, query: Select[Any], keys: Iterable[K], **given: Any
) -> Iterator[Any]:
    """The rows of ``query`` for many keys, bound to its expanding parameter ``keys``.

    ``given`` are its other parameters.
    """
    wanted = list(keys)
    for start in range(0, len(wanted), _KEYS_PER_QUERY):
        some = wanted[start : start + _KEYS_PER_QUERY]
        yield from conn.execute(query, {"keys": some, **given})


class RowWriter:
    """Inserts and updates of whole rows of one table, each one executemany.

    Whoever saves has read the rows in the same transaction, so it knows which are new. The
    statements are compiled once and then go to the driver with plain tuples: thousands of rows a
    second pass here, and naming each value of each of them would cost more than writing it.
    """

    def __init__(self, table: Table, key: Sequence[str]) -> None:
        columns = [column.name for column in table.c]
        others = [name for name in columns if name not in key]
        # A bound name must differ from the column's in an UPDATE of many rows.
        self._insert = _Prepared(insert(table), columns)
        self._update = _Prepared(
            update(table)
            .where(*(table.c[name] == bindparam(f"key_{name}") for name in key))
            .values({name: bindparam(f"new_{name}") for name in others}),
            [f"key_{name}" if name in key else f"new_{name}" for name in columns],
        )

    def save(self, conn: Connection, new: Sequence[Record], changed: Sequence[Record]) -> None:
        """Write the rows."""
        if new:
            self._insert.execute(conn, new)
        if changed:
            self._update.execute(conn, changed)


class _Prepared:
    """A statement whose parameters come as tuples in the order of ``names``."""

    def __init__(self, statement: Executable, names: Sequence[str]) -> None:
        self._statement = statement
        self._names = tuple(names)
        self._compiled: dict[str, tuple[str, Callable[[Record], Any]]] = {}

    def execute(self, conn: Connection, records: Sequence[Record]) -> None:
        text, arrange = self._for(conn)
        conn.exec_driver_sql(text, [arrange(record) for record in records])

    def _for(self, conn: Connection) -> tuple[str, Callable[[Record], Any]]:
        """The statement's text for this database, and how its driver wants the values."""
        known = self._compiled.get(conn.dialect.name)
        if known is None:
            compiled = self._statement.compile(dialect=conn.dialect, column_keys=self._names)  # type: ignore[attr-defined]
            known = self._compiled[conn.dialect.name] = (str(compiled), self._arrange(compiled))
        return known

    def _arrange(self, compiled: SQLCompiler) -> Callable[[Record], Any]:
        names = self._names
        if not compiled.positional or compiled.positiontup is None:
            return lambda record: dict(zip(names, record, strict=True))
        return itemgetter(*(names.index(name) for name in compiled.positiontup))
