"""A fold of the log: read models in a database of their own, and which deliveries they hold."""

from __future__ import annotations

import glob
import sqlite3
import uuid
from collections.abc import Collection, Iterator
from contextlib import AbstractContextManager, closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sqlalchemy import (
    BigInteger,
    Column,
    Connection,
    Integer,
    MetaData,
    Table,
    delete,
    func,
    insert,
    select,
    update,
)

from eventbus.event import Event
from eventbus.log import schema
from eventbus.log.prepared import insert_rows
from eventbus.log.rows import whole_event_from_row
from eventbus.log.sqlite import SqliteDatabase

_SIDE_FILES = ("", "-wal", "-shm", "-journal", "-lock")
_KEYS = 500
_CACHE_KIB = 4 * 1024
_PAGE_CHARS = 8 * 1024 * 1024

_events, _deliveries = schema.events, schema.deliveries
_metadata = MetaData()
_positions = Table("fold_position", _metadata, Column("position", BigInteger, nullable=False))
# Deliveries up to the position that had not succeeded when it was passed. Even of one that is
# discarded something may still come: a person may redrive it.
_holes = Table(
    "fold_holes",
    _metadata,
    Column("sequence", BigInteger, primary_key=True),
    Column("subscription", Integer, primary_key=True),
    sqlite_with_rowid=False,
)
_INSERT_HOLE = insert_rows(_holes)
holes_table = _holes

Work = tuple[Event, int]
"""A recorded event and the id of a subscription that has handled it with success."""


@dataclass(frozen=True, slots=True)
class Page:
    """Deliveries to fold, ascending, and those that have not succeeded, up to ``position``."""

    work: list[Work]
    holes: list[tuple[int, int]]
    position: int


class Fold:
    """A database beside the log: read models' tables, a position and the holes up to it.

    It holds the effects of exactly the deliveries up to ``position`` that have succeeded, but for
    the holes. One thread uses it; ``writer`` is its connection.
    """

    def __init__(self, path: Path | None = None, *, is_durable: bool = False) -> None:
        """Opens or makes the file, a temporary one when ``path`` is None.

        What is committed survives a power cut only when ``is_durable``. Raises LogError and
        LogLockedError.
        """
        url = "sqlite://" if path is None else f"sqlite:///{path}"
        self._database = SqliteDatabase(url, _CACHE_KIB)
        self.path = self._database.path
        self.writer: Connection = self._database.writer
        if not is_durable:
            driver: Any = self.writer.connection.driver_connection
            driver.execute("PRAGMA synchronous = OFF").close()
        with self.writer.begin():
            _metadata.create_all(self.writer)
            found = self.writer.execute(select(_positions.c.position)).scalar()
            if found is None:
                self.writer.execute(insert(_positions).values(position=0))
        self.position: int = found or 0

    @contextmanager
    def round(self) -> Iterator[None]:
        """A transaction: position, holes and tables change together or not at all."""
        before = self.position
        try:
            with self.writer.begin():
                yield
                self.writer.execute(update(_positions).values(position=self.position))
        except BaseException:
            self.position = before
            raise

    def page(self, conn: Connection, ids: Collection[int], upto: int, limit: int) -> Page:
        """What ``conn``, on the log, has for the subscriptions ``ids`` after the position."""
        query = (  # a walk of the deliveries' primary key
            select(_deliveries.c.subscription, _deliveries.c.state, *_events.c)
            .join_from(_deliveries, _events, _deliveries.c.sequence == _events.c.sequence)
            .where(
                _deliveries.c.sequence > self.position,
                _deliveries.c.sequence <= upto,
                _deliveries.c.subscription.in_(ids),
            )
            .order_by(_deliveries.c.sequence, _deliveries.c.subscription)
            .limit(limit)
        )
        rows: list[Any] = []
        chars = 0
        with conn.execute(query) as result:
            for row in result:
                rows.append(row)
                chars += len(row.data)
                if chars > _PAGE_CHARS and rows[0].sequence != row.sequence:
                    break
            else:
                chars = 0
        position = upto
        if chars or len(rows) == limit:  # the last event's other deliveries may have been cut off
            position = rows[-1].sequence - 1
            rows = [row for row in rows if row.sequence <= position]
        work = [
            (whole_event_from_row(row), row.subscription)
            for row in rows
            if row.state == "succeeded"
        ]
        holes = [(row.sequence, row.subscription) for row in rows if row.state != "succeeded"]
        return Page(work, holes, max(position, self.position))

    def pass_over(self, page: Page) -> None:
        """Go on behind ``page``; its holes stay."""
        _INSERT_HOLE.run(self.writer, page.holes)
        self.position = page.position

    def filled_holes(self, conn: Connection) -> Iterator[Work]:
        """Holes that ``conn`` shows as succeeded, ascending, to be folded.

        They are holes no more when the iteration has passed them; nor are those of events that
        are gone.
        """
        after = 0
        while True:
            query = select(_holes).where(_holes.c.sequence > after).order_by(_holes.c.sequence)
            holes = [tuple(row) for row in self.writer.execute(query.limit(_KEYS))]
            if not holes:
                return
            if len(holes) == _KEYS and holes[0][0] != holes[-1][0]:  # whole events only
                holes = [hole for hole in holes if hole[0] != holes[-1][0]]
            after = holes[-1][0]
            found = conn.execute(  # primary key
                select(_deliveries.c.subscription, _deliveries.c.state, *_events.c)
                .join_from(_deliveries, _events, _deliveries.c.sequence == _events.c.sequence)
                .where(_deliveries.c.sequence.in_({sequence for sequence, _ in holes}))
                .order_by(_deliveries.c.sequence)
            )
            rows = {(row.sequence, row.subscription): row for row in found}
            for hole in holes:
                row = rows.get(hole)
                if row is None or row.state == "succeeded":
                    if row is not None:
                        yield whole_event_from_row(row), row.subscription
                    self.writer.execute(
                        delete(_holes).where(
                            _holes.c.sequence == hole[0], _holes.c.subscription == hole[1]
                        )
                    )

    def holes(self, sequences: Collection[int]) -> set[tuple[int, int]]:
        """The holes of these events: pairs of sequence and subscription."""
        query = select(_holes).where(_holes.c.sequence.in_(sequences))
        with self.writer.begin():
            return {(row.sequence, row.subscription) for row in self.writer.execute(query)}

    def first_filled(self, conn: Connection) -> int | None:
        """The oldest hole that ``conn``, on the log, shows as succeeded; it stays a hole."""
        after = 0
        while True:
            query = select(_holes).where(_holes.c.sequence > after).order_by(_holes.c.sequence)
            with self.writer.begin():
                holes = [tuple(row) for row in self.writer.execute(query.limit(_KEYS))]
            if not holes:
                return None
            found = conn.execute(  # primary key
                select(_deliveries.c.sequence, _deliveries.c.subscription)
                .where(
                    _deliveries.c.sequence.in_({sequence for sequence, _ in holes}),
                    _deliveries.c.state == "succeeded",
                )
                .order_by(_deliveries.c.sequence)
            )
            known = set(holes)
            for row in found:
                if tuple(row) in known:
                    return int(row.sequence)
            last: int = holes[-1][0]
            # The last event's other holes may have been cut off.
            after = last - 1 if len(holes) == _KEYS and holes[0][0] != last else last

    def reading(self) -> AbstractContextManager[Connection]:
        """A read-only connection on what is committed here, for any thread."""
        return self._database.reading()

    def close(self) -> None:
        self._database.close()

    def remove(self) -> None:
        """Close and delete the files."""
        self.close()
        remove_files(self.path)


def remove_files(path: Path) -> None:
    """Delete a database's file and those that stand beside it."""
    for suffix in _SIDE_FILES:
        path.with_name(path.name + suffix).unlink(missing_ok=True)


def fold_path(log_path: Path) -> Path:
    """Where a new fold of the log at ``log_path`` is kept."""
    return log_path.with_name(f"{log_path.name}-fold-{uuid.uuid4().hex[:8]}")


def remove_leftovers(log_path: Path) -> None:
    """Delete folds that a crash has left; only the process that has the log open makes any."""
    for path in log_path.parent.glob(f"{glob.escape(log_path.name)}-fold-*"):
        path.unlink(missing_ok=True)


def copy_database(source: Path, target: Path) -> None:
    """A consistent copy of an SQLite file, also while it is written."""
    remove_files(target)
    with (
        closing(sqlite3.connect(f"{source.as_uri()}?mode=ro", uri=True)) as reader,
        closing(sqlite3.connect(target)) as writer,
    ):
        reader.backup(writer)


def last_sequence(conn: Connection) -> int:
    """The newest event that this connection's transaction sees."""
    return conn.execute(select(func.max(_events.c.sequence))).scalar() or 0
