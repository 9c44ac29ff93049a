"""Steps: the rows of a fold that events have changed since the step before, in a file of their own.

A fold that is put forward by steps needs no handler, so it costs a row and not an event.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

from sqlalchemy import Table

from eventbus.log.fold import Fold, holes_table
from eventbus.log.moments import Mark

Names = Sequence[tuple[str, tuple[str, ...]]]
"""Tables with the columns of their primary keys."""

_POSITION = "step_position"


def names_of(tables: Sequence[Table]) -> Names:
    """The tables that steps hold: ``tables``, and the holes of the fold."""
    return [
        (table.name, tuple(column.name for column in table.primary_key))
        for table in (*tables, holes_table)
    ]


class RowSteps:
    """Notes which rows a fold changes, and writes them as steps. For the fold's thread."""

    def __init__(self, fold: Fold, tables: Sequence[Table]) -> None:
        """From here on changes are noted; ``fold`` has the tables."""
        self._fold = fold
        self._names = names_of(tables)
        driver: Any = fold.writer.connection.driver_connection
        self._driver = driver
        for name, key in self._names:
            columns = ", ".join(_quoted(key))
            self._driver.execute(
                f"CREATE TEMP TABLE changed_{name} ({columns}, PRIMARY KEY ({columns})) "
                "WITHOUT ROWID"
            )
            for verb, row in (("INSERT", "NEW"), ("UPDATE", "NEW"), ("DELETE", "OLD")):
                values = ", ".join(f"{row}.{column}" for column in _quoted(key))
                self._driver.execute(
                    f"CREATE TEMP TRIGGER note_{verb}_{name} AFTER {verb} ON main.{name} "
                    f"BEGIN INSERT OR IGNORE INTO changed_{name} VALUES ({values}); END"
                )

    def write(self, path: Path, mark: Mark) -> None:
        """Append what has changed since the last step to the file at ``path``.

        Raises sqlite3's errors; then nothing is written, and the changes stay noted.
        """
        with _attached(self._driver, path), _transaction(self._driver):
            for name, key in self._names:
                both = " AND ".join(f"m.{column} = c.{column}" for column in _quoted(key))
                self._driver.execute(
                    f"INSERT INTO steps.{name} SELECT ?, m.* FROM changed_{name} c "
                    f"JOIN main.{name} m ON {both}",
                    (mark.position,),
                )
                self._driver.execute(
                    f"INSERT INTO steps.gone_{name} SELECT ?, c.* FROM changed_{name} c "
                    f"WHERE NOT EXISTS (SELECT 1 FROM main.{name} m WHERE {both})",
                    (mark.position,),
                )
                self._driver.execute(f"DELETE FROM changed_{name}")
            _note(self._driver, mark)


def begin_steps(fold: Fold, tables: Sequence[Table], path: Path, made_by: str, mark: Mark) -> None:
    """Make the file of the steps that will follow the state of ``fold``, which is at ``mark``."""
    driver: Any = fold.writer.connection.driver_connection
    with _attached(driver, path), _transaction(driver):
        for name, key in names_of(tables):
            driver.execute(
                f"CREATE TABLE steps.{name} AS "
                f"SELECT 0 AS {_POSITION}, m.* FROM main.{name} m LIMIT 0"
            )
            columns = ", ".join(_quoted(key))
            driver.execute(f"CREATE TABLE steps.gone_{name} ({_POSITION}, {columns})")
            for kind in ("", "gone_"):
                driver.execute(f"CREATE INDEX steps.ix_{kind}{name} ON {kind}{name} ({_POSITION})")
        driver.execute("CREATE TABLE steps.marks (position INTEGER PRIMARY KEY, sequence, id)")
        driver.execute("CREATE TABLE steps.made_by (digest)")
        driver.execute("INSERT INTO steps.made_by VALUES (?)", (made_by,))
        _note(driver, mark)


def apply_steps(fold: Fold, tables: Sequence[Table], path: Path, upto: int) -> None:
    """Put ``fold`` forward to the step that ends at ``upto``, by those of the file at ``path``.

    The fold may be anywhere behind the file's beginning: a step has the whole of every row that
    changed in it. Raises sqlite3's errors.
    """
    driver: Any = fold.writer.connection.driver_connection
    with _attached(driver, path), _transaction(driver):
        for name, key in names_of(tables):
            columns = ", ".join(
                _quoted([row[1] for row in driver.execute(f"PRAGMA main.table_info({name})")])
            )
            keys = ", ".join(_quoted(key))
            span = f"{_POSITION} > ? AND {_POSITION} <= ?"
            gone = driver.execute(
                f"SELECT DISTINCT {_POSITION} FROM steps.gone_{name} WHERE {span} ORDER BY 1",
                (fold.position, upto),
            ).fetchall()
            after = fold.position
            # A row that went and came again is in both tables: so in turn, where any went.
            for (end,) in [*gone, (upto,)]:
                driver.execute(
                    f"INSERT OR REPLACE INTO main.{name} ({columns}) SELECT {columns} "
                    f"FROM steps.{name} WHERE {span} ORDER BY {_POSITION}",
                    (after, end),
                )
                driver.execute(
                    f"DELETE FROM main.{name} WHERE ({keys}) IN "
                    f"(SELECT {keys} FROM steps.gone_{name} WHERE {_POSITION} = ?)",
                    (end,),
                )
                after = end
        driver.execute("UPDATE main.fold_position SET position = ?", (upto,))
    fold.position = upto


def read_marks(path: Path) -> tuple[str, list[Mark]]:
    """Who made the steps of a file, and the marks at which they end. Raises sqlite3's errors."""
    with closing(sqlite3.connect(f"{path.as_uri()}?mode=ro", uri=True)) as conn:
        (made_by,) = conn.execute("SELECT digest FROM made_by").fetchone()
        rows = conn.execute("SELECT position, sequence, id FROM marks ORDER BY position")
        return made_by, [Mark(*row) for row in rows]


def cut_steps(path: Path, after: int) -> None:
    """Drop the steps of a file that end after a position. Raises sqlite3's errors."""
    with closing(sqlite3.connect(path)) as conn, conn:
        conn.execute("DELETE FROM marks WHERE position > ?", (after,))
        names = conn.execute("SELECT name FROM sqlite_schema WHERE type = 'table'").fetchall()
        for (name,) in names:
            if name not in ("marks", "made_by"):
                conn.execute(f"DELETE FROM {name} WHERE {_POSITION} > ?", (after,))


def _note(driver: Any, mark: Mark) -> None:
    driver.execute(
        "INSERT INTO steps.marks VALUES (?, ?, ?)", (mark.position, mark.sequence, mark.event_id)
    )


@contextmanager
def _attached(driver: Any, path: Path) -> Iterator[None]:
    driver.execute("ATTACH DATABASE ? AS steps", (str(path),))
    try:
        driver.execute("PRAGMA steps.journal_mode = WAL").fetchall()
        driver.execute("PRAGMA steps.synchronous = OFF")
        yield
    finally:
        driver.execute("DETACH DATABASE steps")


@contextmanager
def _transaction(driver: Any) -> Iterator[None]:
    """Deferred, so that who only reads the steps does not hold up who appends to them."""
    driver.execute("BEGIN")
    try:
        yield
    except BaseException:
        driver.execute("ROLLBACK")
        raise
    driver.execute("COMMIT")


def _quoted(names: Sequence[str]) -> list[str]:
    return [f'"{name}"' for name in names]
