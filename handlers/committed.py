"""Rows as they are committed, for handlers that decide something on them before their own commit.

Opening a connection for every event would cost more than all else that a handler does. So rows
that were just written are remembered, and those that are not are read many at a time.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from typing import Generic, Protocol, TypeVar

from sqlalchemy import Connection

from eventbus.log import EventLog

# In each of two generations, of rows of about half a kilobyte (3 at the very most): some 5 MB.
_MOST_REMEMBERED = 5_000
_MOST_READ = 500


class HasSequence(Protocol):
    """A row that knows the last event that changed it."""

    @property
    def last_sequence(self) -> int: ...


R = TypeVar("R", bound=HasSequence)


class CommittedRows(Generic[R]):
    """Rows by key; the events of one key must be handled one at a time.

    What is remembered may turn out wrong when a commit fails after ``remember``. So whoever
    commits a decision checks that the row still has the ``last_sequence`` that it was based on,
    and calls ``forget`` if not. ``get`` runs on the bus's loop, the others wherever a commit runs.
    """

    def __init__(
        self, log: EventLog, load: Callable[[Connection, Iterable[str]], dict[str, R]]
    ) -> None:
        self._log = log
        self._load = load
        # A replay applies the changes of many events at once, and is told to when one is looked
        # at; live, what earlier events of a key asked for is committed by now.
        self._settle: Callable[[], None] | None = getattr(log, "settle", None)
        self.version = 0
        """Grows when the rows were replaced: what was decided before rests on other ones."""
        self._wanted: dict[str, asyncio.Future[R | None]] = {}  # only touched on the loop
        # When the young generation is full it becomes the old one, and that is dropped: roughly
        # the least recently used go, and each step is atomic for the loop that looks meanwhile.
        self._young: dict[str, R] = {}
        self._old: dict[str, R] = {}

    async def get(self, key: str, sequence: int) -> R | None:
        """The row before event ``sequence``, None when there is none."""
        if self._settle is not None:
            self._settle()
        row = self._young.get(key) or self._old.get(key)
        # A row that knows this event or a later one: its commit failed, or the event comes
        # again. What counts then is what is in the database.
        if row is not None and row.last_sequence < sequence:
            return row
        if self._settle is not None:
            with self._log.reading() as conn:
                return self._load(conn, [key]).get(key)
        return await self._read(key)

    def remember(self, rows: Iterable[tuple[str, R]]) -> None:
        """Keep the rows that the present transaction writes."""
        if len(self._young) >= _MOST_REMEMBERED:
            self._old = self._young
            self._young = {}
        self._young.update(rows)

    def forget(self, key: str) -> None:
        """Read this row from the database the next time."""
        self._young.pop(key, None)
        self._old.pop(key, None)

    def replaced(self) -> None:
        """The table was given other rows, by a rebuild; called under the commit lock."""
        self.version += 1
        self._young = {}
        self._old = {}

    async def _read(self, key: str) -> R | None:
        loop = asyncio.get_running_loop()
        if not self._wanted:
            loop.call_soon(self._flush, loop, 0)
        future = self._wanted.get(key)
        if future is None:
            future = self._wanted[key] = loop.create_future()
        return await future

    def _flush(self, loop: asyncio.AbstractEventLoop, seen: int) -> None:
        """Read what is wanted, once a turn of the loop has brought no further wish."""
        if seen < len(self._wanted) < _MOST_READ:
            loop.call_soon(self._flush, loop, len(self._wanted))
            return
        wanted, self._wanted = self._wanted, {}
        rows: dict[str, R] = {}
        error: Exception | None = None
        try:
            with self._log.reading() as conn:
                rows = self._load(conn, wanted)
        except Exception as raised:  # handed on to each handler that waits, below
            error = raised
        for key, future in wanted.items():
            if future.done():  # its handler was cut off
                continue
            if error is None:
                future.set_result(rows.get(key))
            else:
                future.set_exception(error)
