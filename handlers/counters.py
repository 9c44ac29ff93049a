"""The counters on the screen: a few rows, changed in the same transaction as what they count.

A count over a million evaluations would not be cheap on every tick of the page. Because each
change is the difference between a row's old and new state, a counter cannot drift from its rows.
"""

from __future__ import annotations

from collections.abc import Mapping

from sqlalchemy import BigInteger, Column, Connection, Table, Text, bindparam, select, update

from handlers.tables import metadata

counters = Table(
    "handler_counters",
    metadata,
    Column("name", Text, primary_key=True),
    Column("value", BigInteger, nullable=False),
    sqlite_with_rowid=False,
)

_READ = select(counters.c.name, counters.c.value)
_ADD = (
    update(counters)
    .where(counters.c.name == bindparam("b_name"))
    .values(value=counters.c.value + bindparam("b_delta"))
)


def add(conn: Connection, deltas: Mapping[str, int]) -> None:
    """Change counters by ``deltas``; names that the migrations did not make are an error."""
    rows = [{"b_name": name, "b_delta": delta} for name, delta in deltas.items() if delta]
    if rows and conn.execute(_ADD, rows).rowcount != len(rows):
        raise KeyError(f"a counter among {sorted(deltas)} does not exist")


def read(conn: Connection) -> dict[str, int]:
    """All counters by name: the whole of a table of about a dozen rows."""
    return {row.name: row.value for row in conn.execute(_READ)}
