"""Comparing a table of two databases, row by row."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice, zip_longest

from sqlalchemy import Connection, Table, func, select

from eventbus.log.move.bookmarks import Key
from eventbus.log.move.rows import Row, key_of

_AT_ONCE = 1_000
_MOST_CHARS = 60


@dataclass(frozen=True, slots=True)
class Compared:
    """A table of the source and of the target.

    ``digest`` is SHA-256 over the source's rows in the order of their keys, as Python writes them
    (``repr``), each with a line feed; of the target's too when there is no ``difference``.
    """

    table: str
    rows: int
    digest: str
    difference: str | None


def compare(
    table: Table, source: Iterator[Row], target: Iterator[Row], tell: Callable[[int], None]
) -> Compared:
    """Compare rows that come in the order of their keys; ``tell`` gets how many were."""
    digest = hashlib.sha256()
    rows = 0
    difference: str | None = None
    while True:
        ours = list(islice(source, _AT_ONCE))
        if difference is None and ours != (theirs := list(islice(target, len(ours) or 1))):
            difference = _first_difference(table, ours, theirs)
        if not ours:
            return Compared(table.name, rows, digest.hexdigest(), difference)
        for row in ours:
            digest.update(repr(row).encode())
            digest.update(b"\n")
        rows += len(ours)
        tell(len(ours))


def count_rows(conn: Connection, table: Table) -> int:
    """How many rows a table has."""
    return conn.execute(select(func.count()).select_from(table)).scalar_one()


def last_key(conn: Connection, table: Table) -> Key | None:
    """The key of the last row; primary key."""
    key = [table.c[name] for name in key_of(table)]
    row = conn.execute(select(*key).order_by(*(each.desc() for each in key)).limit(1)).first()
    return None if row is None else tuple(row)


def _first_difference(table: Table, ours: Sequence[Row], theirs: Sequence[Row]) -> str:
    names = table.c.keys()
    for mine, other in zip_longest(ours, theirs):
        if mine == other:
            continue
        if mine is None or other is None or _key(table, mine) != _key(table, other):
            first = min((row for row in (mine, other) if row is not None),
                        key=lambda row: _key(table, row))  # fmt: skip
            where = "not in the source" if first is other else "not in the target"
            return f"{_at(table, first)} is {where}"
        changed = (
            f"{name} is {_cut(a)} and in the target {_cut(b)}"
            for name, a, b in zip(names, mine, other, strict=True)
            if a != b
        )
        return f"{_at(table, mine)}: {'; '.join(changed)}"
    raise AssertionError("they differ")


def _key(table: Table, row: Row) -> Key:
    names = table.c.keys()
    return tuple(row[names.index(name)] for name in key_of(table))


def _at(table: Table, row: Row) -> str:
    key = zip(key_of(table), _key(table, row), strict=True)
    return f"{table.name}[{', '.join(f'{name}={_cut(value)}' for name, value in key)}]"


def _cut(value: object) -> str:
    text = repr(value)
    return text if len(text) <= _MOST_CHARS else f"{text[:_MOST_CHARS]}…"
