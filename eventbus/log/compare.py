"""Comparing tables row by row with those of a fold, and putting the fold's rows in their place.

``conn`` is from ``EventLog.reading_beside``: it sees the log's database and, as "fresh", the fold.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import (
    ColumnElement,
    Connection,
    Float,
    FromClause,
    MetaData,
    Table,
    and_,
    delete,
    func,
    insert,
    or_,
    select,
    tuple_,
)

IS_KEPT = "is_kept"
"""In a table's ``info``: a function that gives, for the table, the condition that a row counts.

For tables that are tidied now and then: what is about to go is no difference."""

# Sums of floating-point numbers depend on the order in which they were added, in the last digits.
_TOLERANCE = 1e-9
_KEYS = 100

Key = tuple[Any, ...]
Tables = Sequence[Table]


@dataclass(frozen=True, slots=True)
class Difference:
    """A row that is not the same: as it is and as the fold has it, None where there is no row."""

    table: str
    key: dict[str, Any]
    live: dict[str, Any] | None
    fresh: dict[str, Any] | None

    def __str__(self) -> str:
        at = ", ".join(f"{name}={value!r}" for name, value in self.key.items())
        if self.live is None or self.fresh is None:
            row = self.live or self.fresh
            what = "is missing, a replay gives" if self.live is None else "should not be there:"
            return f"{self.table}[{at}] {what} {row}"
        changed = (
            f"{name} is {value!r}, a replay gives {self.fresh[name]!r}"
            for name, value in self.live.items()
            if value != self.fresh[name]
        )
        return f"{self.table}[{at}]: {'; '.join(changed)}"


def differences(conn: Connection, tables: Iterable[Table]) -> Iterator[Difference]:
    """Every row that differs. Two walks of each table, with one look-up by key for a row."""
    for table in tables:
        # Under other names: "x.column" alone could be the column of either.
        live, fresh = table.alias("live"), table.to_metadata(MetaData(), schema="fresh").alias("f")
        key = _identity(table)
        same_key = and_(*(live.c[name] == fresh.c[name] for name in key))
        names = [column.name for column in table.c]
        width = len(names)
        is_other = or_(fresh.c[key[0]].is_(None), *_unequal(live, fresh, key))
        changed = (
            select(live, fresh)
            .select_from(live.outerjoin(fresh, same_key))
            .where(is_other, *_counts(table, live))
        )
        for row in conn.execute(changed):
            found = dict(zip(names, row[:width], strict=True))
            made = dict(zip(names, row[width:], strict=True))
            is_there = made[key[0]] is not None
            at = {name: found[name] for name in key}
            yield Difference(table.name, at, found, made if is_there else None)
        missing = (
            select(fresh)
            .select_from(fresh.outerjoin(live, same_key))
            .where(live.c[key[0]].is_(None), *_counts(table, fresh))
        )
        for row in conn.execute(missing):
            made = dict(zip(names, row, strict=True))
            yield Difference(table.name, {name: made[name] for name in key}, None, made)


def replace_rows(
    live: Connection, fresh: Connection, table: Table, keys: Sequence[Key] | None
) -> None:
    """Make the rows with these keys (None: all) in ``live`` what they are in ``fresh``."""
    columns = tuple_(*(table.c[name] for name in _identity(table)))
    chosen = [
        None if keys is None else columns.in_(keys[start : start + _KEYS])
        for start in (range(0, len(keys), _KEYS) if keys is not None else (0,))
    ]
    for some in chosen:  # all of them first: a row that comes may be like one that goes
        live.execute(delete(table) if some is None else delete(table).where(some))
    for some in chosen:
        query = select(table) if some is None else select(table).where(some)
        if rows := [dict(row._mapping) for row in fresh.execute(query)]:
            live.execute(insert(table), rows)


def count_rows(conn: Connection, table: Table, most: int) -> int:
    """How many rows a table has, counted up to ``most``."""
    some = select(table.primary_key.columns.values()[0]).limit(most).subquery()
    return conn.execute(select(func.count()).select_from(some)).scalar_one()


def _identity(table: Table) -> list[str]:
    """The columns that say which thing a row is about, whatever has become of it."""
    unique = [column.name for column in table.c if column.unique]
    return unique[:1] or [column.name for column in table.primary_key]


def _unequal(live: FromClause, fresh: FromClause, key: Sequence[str]) -> list[ColumnElement[bool]]:
    conditions: list[ColumnElement[bool]] = []
    for column in live.c:
        other = fresh.c[column.name]
        if isinstance(column.type, Float) and not column.nullable:
            size = func.max(1.0, func.abs(column), func.abs(other))
            conditions.append(func.abs(column - other) > _TOLERANCE * size)
        elif column.name not in key:
            conditions.append(column.is_distinct_from(other))
    return conditions


def _counts(table: Table, side: FromClause) -> list[ColumnElement[bool]]:
    is_kept: Callable[[FromClause], ColumnElement[bool]] | None = table.info.get(IS_KEPT)
    return [] if is_kept is None else [is_kept(side)]
