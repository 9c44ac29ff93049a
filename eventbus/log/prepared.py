"""Statements compiled once and run with rows of plain values: the hot way into the database."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sqlalchemy import Connection
from sqlalchemy.dialects import sqlite
from sqlalchemy.sql.dml import UpdateBase


class Prepared:
    """An insert or update for many rows.

    It leaves out the named parameters that SQLAlchemy sorts anew for every row, which cost more
    than the row's way through the database. Rows give their values in the order of ``columns``.
    """

    def __init__(self, statement: UpdateBase, *columns: str) -> None:
        """``columns`` are those to insert; without any, the statement's own parameters."""
        compiled = statement.compile(dialect=sqlite.dialect(), column_keys=columns or None)
        self._sql = str(compiled)
        self.columns: tuple[str, ...] = tuple(compiled.positiontup or ())

    def run(self, conn: Connection, rows: Sequence[tuple[Any, ...]]) -> None:
        """Execute for every row; nothing for none."""
        if rows:
            conn.exec_driver_sql(self._sql, list(rows))
