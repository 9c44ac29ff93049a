"""Numbers that the database gives by itself: none that was ever given may be given again."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from sqlalchemy import Connection, Table, column, func, inspect, select, text

# PostgreSQL's manual, 37.17 (columns), and 9.17 for the functions of sequences.
_IDENTITIES = text("""
    SELECT table_name, column_name,
        pg_get_serial_sequence(quote_ident(table_name), column_name) AS sequence
    FROM information_schema.columns
    WHERE table_schema = current_schema() AND is_identity = 'YES' ORDER BY table_name""")


@dataclass(frozen=True, slots=True)
class Numbered:
    """A column whose numbers the database gives, behind ``given``; ``largest`` is there now."""

    table: str
    column: str
    given: int
    largest: int


def given_numbers(conn: Connection, tables: Iterable[Table]) -> list[Numbered]:
    """The numbers that the database of ``conn`` gives for ``tables``.

    In SQLite only those that it remembers; for the others it looks for the largest each time.
    """
    wanted = {table.name: table for table in tables}
    found: list[tuple[str, str, int]] = []
    if conn.dialect.name == "postgresql":
        for row in list(conn.execute(_IDENTITIES)):
            last = conn.execute(text(f"SELECT last_value, is_called FROM {row.sequence}")).one()
            given = int(last.last_value) if last.is_called else 0
            found.append((row.table_name, row.column_name, given))
    elif inspect(conn).has_table("sqlite_sequence"):
        # https://sqlite.org/autoinc.html: the largest that there ever was.
        counted = conn.execute(text("SELECT name, seq FROM sqlite_sequence"))
        remembered = {row.name: row.seq for row in counted}
        found += [
            (name, next(iter(table.primary_key)).name, remembered.get(name, 0))
            for name, table in wanted.items()
            if table.dialect_options["sqlite"]["autoincrement"]
        ]
    return [
        Numbered(name, of, given, _largest(conn, wanted[name], of))
        for name, of, given in found
        if name in wanted
    ]


def give_behind(conn: Connection, tables: Sequence[Table], source: Iterable[Numbered]) -> None:
    """Have every table give numbers larger than those it has, and than the source has given."""
    before = {each.table: each.given for each in source}
    for each in given_numbers(conn, tables):
        largest = max(each.largest, before.get(each.table, 0))
        if conn.dialect.name == "postgresql":
            name = func.pg_get_serial_sequence(func.quote_ident(each.table), each.column)
            conn.execute(select(func.setval(name, max(largest, 1), largest > 0)))
        else:
            values = {"name": each.table, "seq": largest}
            conn.execute(text("DELETE FROM sqlite_sequence WHERE name = :name"), values)
            conn.execute(text("INSERT INTO sqlite_sequence VALUES (:name, :seq)"), values)


def given_again(conn: Connection, tables: Sequence[Table], source: Iterable[Numbered]) -> list[str]:
    """Which numbers the database of ``conn`` would give a second time, as sentences."""
    before = {each.table: each.given for each in source}
    found = []
    for each in given_numbers(conn, tables):
        least = max(each.largest, before.get(each.table, 0))
        if each.given < least:
            found.append(
                f"{each.table}.{each.column} would go on behind {each.given}, and {least} was given"
            )
    return found


def _largest(conn: Connection, table: Table, name: str) -> int:
    found = conn.execute(select(func.max(column(name))).select_from(table)).scalar()
    return int(found or 0)
