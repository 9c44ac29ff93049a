"""Comparing tables row by row with those of a fold, and putting the fold's rows in their place."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import (
    ColumnElement,
    Connection,
    Float,
    FromClause,
    Table,
    delete,
    func,
    insert,
    literal,
    select,
    tuple_,
)

IS_KEPT = "is_kept"
"""In a table's ``info``: a function that gives, for the table, the condition that a row counts.

For tables that are tidied now and then: what is about to go is no difference."""

# Sums of floating-point numbers depend on the order in which they were added, in the last digits.
_TOLERANCE = 1e-9
_KEYS = 100

_ROWS = 1_000

Key = tuple[Any, ...]
Values = Sequence[Any]
Counted = tuple[Values, bool]
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


def differences(
    live: Connection, fresh: Connection, tables: Iterable[Table]
) -> Iterator[Difference]:
    """Every row of ``live``, on the log, that differs from that of ``fresh``, on a fold.

    One walk of each table in both, in the order of what their rows are about, which is the same
    in every database: text is ordered by its code points.
    """
    for table in tables:
        names = [column.name for column in table.c]
        identity = _identity(table)
        is_other = _comparison(table, identity)
        for key, ours, made in _side_by_side(_walk(live, table), _walk(fresh, table)):
            if ours is None:
                assert made is not None, "one of them has the row"
                is_found, counts = True, made[1]
            else:
                is_found, counts = made is None or is_other(ours[0], made[0]), ours[1]
            if is_found and counts:
                yield Difference(
                    table.name,
                    dict(zip(identity, key, strict=True)),
                    None if ours is None else dict(zip(names, ours[0], strict=True)),
                    None if made is None else dict(zip(names, made[0], strict=True)),
                )


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


def _walk(conn: Connection, table: Table) -> Iterator[tuple[Key, Counted]]:
    """Every row by its key, ascending, and whether it counts."""
    names = [column.name for column in table.c]
    identity = _identity(table)
    places = [names.index(name) for name in identity]
    is_kept: Callable[[FromClause], ColumnElement[bool]] | None = table.info.get(IS_KEPT)
    query = select(*table.c, literal(True) if is_kept is None else is_kept(table))
    rows = conn.execute(
        query.order_by(*(table.c[name] for name in identity)),  # index of the key
        execution_options={"yield_per": _ROWS},
    )
    for row in rows:
        *values, counts = row
        yield tuple(values[place] for place in places), (values, bool(counts))


def _side_by_side(
    ones: Iterator[tuple[Key, Counted]], others: Iterator[tuple[Key, Counted]]
) -> Iterator[tuple[Key, Counted | None, Counted | None]]:
    """Two ascending walks as one: of each key what either has, None for nothing."""
    one, other = next(ones, None), next(others, None)
    while one is not None or other is not None:
        if other is None or (one is not None and one[0] < other[0]):
            assert one is not None, "not both are at their end"
            yield one[0], one[1], None
            one = next(ones, None)
        elif one is None or other[0] < one[0]:
            yield other[0], None, other[1]
            other = next(others, None)
        else:
            yield one[0], one[1], other[1]
            one, other = next(ones, None), next(others, None)


def _comparison(table: Table, identity: Sequence[str]) -> Callable[[Values, Values], bool]:
    """Whether two rows with one key differ."""
    inexact = [
        place
        for place, column in enumerate(table.c)
        if isinstance(column.type, Float) and not column.nullable and column.name not in identity
    ]

    def is_other(one: Values, other: Values) -> bool:
        if one == other:
            return False
        return any(
            a != b and not (place in inexact and _is_near(a, b))
            for place, (a, b) in enumerate(zip(one, other, strict=True))
        )

    return is_other


def _is_near(a: float, b: float) -> bool:
    return abs(a - b) <= _TOLERANCE * max(1.0, abs(a), abs(b))
