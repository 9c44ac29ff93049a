"""An overlay: tables as they are committed, under changes that nobody else will ever see."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, Delete, Select, Table, Update, event, insert, select
from sqlalchemy.sql import visitors

from eventbus.errors import OverlayError
from eventbus.log.ground import Ground, Row

# Of one statement: a dry run is about a few events and the rows that belong to them.
_MOST_ROWS = 2_000

Key = tuple[Any, ...]


@dataclass(frozen=True, slots=True)
class RowChange:
    """A row that was added, changed or removed: its values by column, None where there is none."""

    table: str
    key: dict[str, Any]
    before: dict[str, Any] | None
    after: dict[str, Any] | None


class Overlay:
    """One snapshot of a log's database, of which some tables can be written to without effect.

    Nothing here can change the database, nor does it hold any lock that a writer waits for. Each
    table stands behind an empty one of its own name, in memory. A statement that asks for rows has
    them put there first; there they are changed and found again. What would need more than a
    statement on one table of few rows raises OverlayError. For one thread at a time.
    """

    def __init__(self, ground: Ground, tables: Sequence[Table]) -> None:
        """``tables`` are those that may be written to, for which ``ground`` was opened."""
        self._ground = ground
        self._tables = {table.name: table for table in tables}
        self._known: dict[str, dict[Key, Row | None]] = {name: {} for name in self._tables}
        self._is_own = False  # a statement of the overlay itself
        self.conn = ground.conn
        event.listen(self.conn, "before_execute", self._before_execute)

    @contextmanager
    def attempt(self) -> Iterator[Connection]:
        """A connection whose changes are taken back when the block raises."""
        known = {name: dict(rows) for name, rows in self._known.items()}
        try:
            with self.conn.begin_nested():
                yield self.conn
        except BaseException:
            self._known = known  # rows that were put there in between are gone again, too
            raise

    def changes(self) -> list[RowChange]:
        """What has changed since this was last called, by table and key."""
        found: list[RowChange] = []
        driver: Any = self.conn.connection.driver_connection
        for name, table in self._tables.items():
            known = self._known[name]
            if not known and not driver.execute(f"SELECT 1 FROM {name} LIMIT 1").fetchone():
                continue  # nobody has asked for any of its rows, nor added one
            now = {_key(table, row): row for row in self._own(select(table))}
            for key in known.keys() | now.keys():
                before, after = known.get(key), now.get(key)
                if before != after:
                    found.append(_change(table, key, before, after))
                    known[key] = after
        return sorted(found, key=lambda change: (change.table, str(change.key)))

    def _before_execute(
        self, conn: Connection, statement: Any, many: Any, single: Any, options: Any
    ) -> None:
        if self._is_own:
            return
        if isinstance(statement, Select):
            froms = statement.get_final_froms()
            found = [table for table in self._tables.values() if table in froms]
            if found and (len(froms) > 1 or _asks_further(statement)):
                raise OverlayError("a query on more than one table cannot be tried out")
            if not found and any(_tables_in(each) & self._tables.keys() for each in froms):
                raise OverlayError("a query on joined tables cannot be tried out")
            if self._ground.is_apart and not found and any(map(_tables_in, froms)):
                raise OverlayError("a query on other tables cannot be tried out here")
            for table in found:
                self._fetch(table, statement.whereclause, single or {})
        elif isinstance(statement, Update | Delete) and not _asks_further(statement):
            # A removal that looks further is of rows beyond a bound: those here are not.
            target = statement.table
            if isinstance(target, Table) and target.name in self._tables:
                for params in many or [single or {}]:
                    self._fetch(target, statement.whereclause, params)

    def _fetch(self, table: Table, where: Any, params: Mapping[str, Any]) -> None:
        """Put the rows that a condition asks for where they can be changed, unless they are."""
        query = select(table).limit(_MOST_ROWS + 1)
        if where is not None:
            query = query.where(where)
        with self._by_itself():
            rows = self._ground.rows(query, params)
        if len(rows) > _MOST_ROWS:
            raise OverlayError(
                f"more than {_MOST_ROWS:,} rows of {table.name} are asked for at once; that cannot "
                "be tried out"
            )
        known = self._known[table.name]
        new = [row for row in rows if _key(table, row) not in known]
        if not new:
            return
        names = [column.name for column in table.c]
        put = insert(table).prefix_with("OR IGNORE")  # what was added here comes first
        self._own(put, [dict(zip(names, row, strict=True)) for row in new])
        known.update((_key(table, row), row) for row in new)

    def _own(self, statement: Any, params: Any = None) -> list[Row]:
        with self._by_itself():
            result = self.conn.execute(statement, params)
            return [tuple(row) for row in result] if result.returns_rows else []

    @contextmanager
    def _by_itself(self) -> Iterator[None]:
        self._is_own = True
        try:
            yield
        finally:
            self._is_own = False


def _asks_further(statement: Any) -> bool:
    """Whether there is a query inside the statement."""
    where = statement.whereclause
    return where is not None and any(
        isinstance(each, Select) for each in visitors.iterate(where) if each is not where
    )


def _tables_in(clause: Any) -> set[str]:
    return {each.name for each in visitors.iterate(clause) if isinstance(each, Table)}


def _key(table: Table, row: Row) -> Key:
    return tuple(value for column, value in zip(table.c, row, strict=True) if column.primary_key)


def _change(table: Table, key: Key, before: Row | None, after: Row | None) -> RowChange:
    names = [column.name for column in table.c]
    keys = [column.name for column in table.c if column.primary_key]
    return RowChange(
        table.name,
        dict(zip(keys, key, strict=True)),
        None if before is None else dict(zip(names, before, strict=True)),
        None if after is None else dict(zip(names, after, strict=True)),
    )
