"""The move: every table from the source to the target, in chunks, and then a look at both."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from sqlalchemy import Connection, Table, delete, func, inspect, select, text
from sqlalchemy.exc import SQLAlchemyError

from eventbus.errors import MoveError
from eventbus.event import Event
from eventbus.log import schema
from eventbus.log.address import shown_url
from eventbus.log.database import Database
from eventbus.log.integrity import IntegrityCheck
from eventbus.log.move import bookmarks, ends
from eventbus.log.move.bookmarks import Bookmark, Key
from eventbus.log.move.comparison import Compared, compare, count_rows, last_key
from eventbus.log.move.files import compare_files, copy_files
from eventbus.log.move.numbers import Numbered, give_behind, given_again, given_numbers
from eventbus.log.move.parts import Parts
from eventbus.log.move.rows import Chunk, key_of, put, rows
from eventbus.log.schedules import Request, Schedules
from eventbus.log.storage import driver_error

MOVED = "bus.moved"
"""The type of the event that the first server on the copy records."""

_EMPTIED = "(emptied)"  # no table is called that
_IS_NO_MARK = f"type != '{MOVED}'"


@dataclass(frozen=True, slots=True)
class Step:
    """What is done now, and how many rows of all are; none while the source is checked."""

    phase: Literal["checking", "copying", "comparing"]
    table: str
    done: int
    total: int


@dataclass(frozen=True, slots=True)
class Moved:
    """What was copied and compared.

    ``rows`` were copied by this run. ``findings`` are sentences about what is not the same beside
    ``tables``: the versions, numbers to be given, files.
    """

    tables: tuple[Compared, ...]
    findings: tuple[str, ...]
    files: tuple[str, ...]
    last_sequence: int
    rows: int
    copying_s: float
    comparing_s: float

    @property
    def is_same(self) -> bool:
        return not self.findings and all(table.difference is None for table in self.tables)


class Move:
    """From one URL to another; ``tell`` is called with every step, in this thread.

    Both databases are locked meanwhile, so nothing changes under it. ``files`` is the folder for
    what stands beside a database on a server.
    """

    def __init__(
        self,
        source: str,
        target: str,
        parts: Parts,
        files: Path | None,
        tell: Callable[[Step], None],
    ) -> None:
        """Raises MoveError when that cannot be."""
        if shown_url(source) == shown_url(target):
            raise MoveError("source and target are the same database")
        self.source = source
        self.target = target
        self._parts = parts
        self._files = files
        self._tell = tell
        self._total = 0
        self._done = 0

    def run(self, by: str) -> Moved:
        """Copy what is not copied yet, and compare; the person ``by`` wants it. Blocks.

        The target is a log once both are the same, and takes no server before. Whatever stops it,
        a further run goes on behind the last chunk. Raises MoveError, LogError, LogLockedError.
        """
        with _telling(), ExitStack() as stack:
            source = stack.enter_context(ends.opened(self.source, self._files))
            self._parts.migrate(source)
            target = stack.enter_context(ends.opened_target(self.target, self._files))
            reader = stack.enter_context(_reading(source))
            tables = self._parts.tables(reader, shown_url(self.source))
            self._parts.check_versions(reader, shown_url(self.source))
            self._begin(reader, source, target, tables)
            self._parts.migrate(target)
            began = time.monotonic()
            copied = self._copy(reader, target, tables)
            given = given_numbers(reader, tables)
            last = _last_sequence(reader)
            with target.writer.begin():
                give_behind(target.writer, tables, given)
                _set_head(target.writer, last)
            files = copy_files(source, target, last)
            if target.writer.dialect.name == "postgresql":
                _vacuum(target.writer)
            copying_s = time.monotonic() - began
            moved = self._compare(reader, source, target, tables, given, (copied, copying_s, files))
            if moved.is_same:
                schedules = Schedules(target.writer, target)
                with target.writer.begin():
                    schedules.add(target.writer, [self._mark(by, moved)])
                    bookmarks.drop(target.writer)
        if moved.is_same:
            ends.finish(self.target)
        return moved

    def check(self) -> Moved:
        """Compare only, and change nothing; as ``run``."""
        with _telling(), ExitStack() as stack:
            source = stack.enter_context(ends.opened(self.source, self._files))
            target = stack.enter_context(ends.opened(self.target, self._files))
            bookmarks.refuse_unfinished(target.writer, shown_url(self.target))
            reader = stack.enter_context(_reading(source))
            tables = self._parts.tables(reader, shown_url(self.source))
            self._parts.check_versions(reader, shown_url(self.source))
            given = given_numbers(reader, tables)
            self._total = sum(count_rows(reader, table) for table in tables)
            return self._compare(reader, source, target, tables, given, (0, 0.0, ()))

    def _begin(
        self, reader: Connection, source: Database, target: Database, tables: list[Table]
    ) -> None:
        """Mark the target as one that is being filled, or see that it is of this source."""
        found: dict[str, Any] = {
            table.name: [count_rows(reader, table), list(last_key(reader, table) or ())]
            for table in tables
        }
        self._total = sum(count for count, _ in found.values())
        conn = target.writer
        with conn.begin():
            if not bookmarks.is_unfinished(conn):
                if reader.dialect.name == "sqlite":
                    self._tell(Step("checking", "", 0, self._total))
                    _prove(source.path)
                bookmarks.begin(conn, found)
            elif bookmarks.source_of(conn) != found:
                raise MoveError(
                    f"{shown_url(self.source)} is not what it was when the copy to "
                    f"{shown_url(self.target)} began; empty the target and begin again"
                )

    def _copy(self, reader: Connection, target: Database, tables: list[Table]) -> int:
        conn = target.writer
        with conn.begin():
            known = bookmarks.load(conn)
            if _EMPTIED not in known:
                for table in tables:  # of what the migrations have put there
                    conn.execute(delete(table))
                bookmarks.save(conn, _EMPTIED, Bookmark(is_done=True))
        self._done = before = sum(bookmark.rows for bookmark in known.values())
        for table in tables:
            bookmark = known.get(table.name, Bookmark())
            self._tell(Step("copying", table.name, self._done, self._total))
            if not bookmark.is_done:
                self._copy_table(reader, target, table, bookmark)
        return self._done - before

    def _copy_table(
        self, reader: Connection, target: Database, table: Table, bookmark: Bookmark
    ) -> None:
        conn = target.writer
        has_nul = conn.dialect.name != "postgresql"
        found = rows(reader, table, bookmark.after, has_nul=has_nul)
        names = table.c.keys()
        key = [names.index(name) for name in key_of(table)]
        with closing(found):
            while not bookmark.is_done:
                chunk = Chunk(found)
                with conn.begin():
                    put(conn, table, chunk)
                    last: Key | None = chunk.last and tuple(chunk.last[each] for each in key)
                    bookmark = bookmark.moved(last, chunk.count, is_done=chunk.is_over)
                    bookmarks.save(conn, table.name, bookmark)
                self._done += chunk.count
                self._tell(Step("copying", table.name, self._done, self._total))

    def _compare(
        self, reader: Connection, source: Database, target: Database, tables: list[Table],
        given: list[Numbered], copied: tuple[int, float, tuple[str, ...]],
    ) -> Moved:  # fmt: skip
        began = time.monotonic()
        self._done = 0
        compared = []
        findings = []
        with _reading(target) as other:
            has_nul = reader.dialect.name == other.dialect.name
            try:
                self._parts.check_versions(other, shown_url(self.target))
            except MoveError as error:
                findings.append(str(error))
            there = set(inspect(other).get_table_names())
            for table in tables:
                self._tell(Step("comparing", table.name, self._done, self._total))
                if table.name not in there:
                    findings.append(f"{table.name} is not in the target")
                    continue
                only = _IS_NO_MARK if table is schema.scheduled else ""
                ours = rows(reader, table, only=only, has_nul=has_nul)
                theirs = rows(other, table, only=only, has_nul=has_nul)
                with closing(ours), closing(theirs):
                    compared.append(compare(table, ours, theirs, self._compared(table)))
            last = _last_sequence(reader)
            findings += given_again(other, tables, given)
            findings += _wrong_head(other, last)
        files, wrong = compare_files(source, target)
        return Moved(
            tuple(compared), (*findings, *wrong), files, last, copied[0], copied[1],
            time.monotonic() - began,
        )  # fmt: skip

    def _mark(self, by: str, moved: Moved) -> Request:
        """Have the first server on the copy tell of it: recorded now, the two were not the same."""
        data = {
            "source": shown_url(self.source),
            "target": shown_url(self.target),
            "sequence": moved.last_sequence,
            "rows": sum(table.rows for table in moved.tables),
            "by": by,
        }
        event = Event.create(MOVED, data, source="/eventbus/migrate-store")
        return Request(event, time.time_ns() // 1_000)

    def _compared(self, table: Table) -> Callable[[int], None]:
        def tell(count: int) -> None:
            self._done += count
            self._tell(Step("comparing", table.name, self._done, self._total))

        return tell


@contextmanager
def _reading(database: Database) -> Iterator[Connection]:
    """A connection whose transaction lasts: all that is read is of one state."""
    with database.reading() as conn, conn.begin():
        yield conn


@contextmanager
def _telling() -> Iterator[None]:
    """What a database says is an error that a person can read."""
    try:
        yield
    except Exception as error:
        said = driver_error(error)
        if said is None and not isinstance(error, SQLAlchemyError | OSError):
            raise
        raise MoveError(f"the copy has stopped: {said or error}") from error


def _prove(path: Path) -> None:
    """A damaged index would hide rows from the copy, and from the comparison."""
    report = IntegrityCheck(path).run()
    if report is not None and report.problems:
        raise MoveError(
            f"{path} is damaged and was not copied: {report.problems[0]} "
            f"({len(report.problems)} findings)"
        )


def _last_sequence(conn: Connection) -> int:
    return conn.execute(select(func.max(schema.events.c.sequence))).scalar() or 0


def _set_head(conn: Connection, last: int) -> None:
    """Where several processes write, the newest sequence is kept in a row of its own."""
    if inspect(conn).has_table("log_head"):
        conn.execute(text("UPDATE log_head SET last_sequence = :last"), {"last": last})


def _wrong_head(conn: Connection, last: int) -> list[str]:
    if not inspect(conn).has_table("log_head"):
        return []
    found = conn.execute(text("SELECT last_sequence FROM log_head")).scalar()
    return [] if found == last else [f"the target's head is #{found}, its newest event #{last}"]


def _vacuum(conn: Connection) -> None:
    """Statistics for the planner, and what index-only scans need; outside any transaction."""
    with conn.begin():
        names = [name for name, bookmark in bookmarks.load(conn).items() if bookmark.rows]
    driver: Any = conn.connection.driver_connection
    driver.autocommit = True
    try:
        for name in names:
            driver.execute(f'VACUUM (ANALYZE) "{name}"')
    finally:
        with suppress(Exception):  # a connection that was lost says so by itself
            driver.autocommit = False
