"""What the read models' tables share: their metadata, and reading and saving many rows at once."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from operator import itemgetter
from typing import Any, TypeVar

from sqlalchemy import Connection, MetaData, Select, Table

from eventbus.log.prepared import insert_rows, update_rows

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
    """Inserts and updates of whole rows of one table.

    Whoever saves has read the rows in the same transaction, so it knows which are new.
    """

    def __init__(self, table: Table, key: Sequence[str], keep: Sequence[str] = ()) -> None:
        """``keep`` are columns that updates leave as they are."""
        columns = [column.name for column in table.c]
        others = [name for name in columns if name not in key and name not in keep]
        self._insert = insert_rows(table)
        self._update = update_rows(table, others, key)
        # A row comes in the table's order, the update takes what changes and then the key.
        self._arrange = itemgetter(*(columns.index(name) for name in (*others, *key)))

    def save(self, conn: Connection, new: Sequence[Record], changed: Sequence[Record]) -> None:
        """Write the rows."""
        self._insert.run(conn, new)
        self._update.run(conn, map(self._arrange, changed))
