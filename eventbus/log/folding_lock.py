"""Who folds the log, and who removes from it: never both at once, in whichever process."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from eventbus.errors import LogReadError
from eventbus.log.database import Database
from eventbus.log.postgresql import PostgresqlDatabase
from eventbus.log.storage import driver_error

_POLL_S = 0.02
_CLASS = "hashtext(%s), hashtext('folding')"
_KEEP = f"SELECT pg_advisory_lock_shared({_CLASS})"
_FREE = f"SELECT pg_advisory_unlock_shared({_CLASS})"
_TRY_ALONE = f"SELECT pg_try_advisory_lock({_CLASS})"
_END_ALONE = f"SELECT pg_advisory_unlock({_CLASS})"


class FoldingLock:
    """One thread of this process at a time; with PostgreSQL also a lock for all processes.

    Any number of processes may fold at once, and while any does, none removes. The lock is of a
    session, so who dies holds nobody up.
    """

    def __init__(self, database: Database) -> None:
        self._database = database if isinstance(database, PostgresqlDatabase) else None
        self._mine = threading.RLock()  # guards the rest
        self._depth = 0
        self._driver: Any = None

    @contextmanager
    def removing_nothing(self) -> Iterator[None]:
        """While this is held nothing is removed. Blocks. Raises LogReadError."""
        with self._mine:
            if self._depth == 0:
                self._ask(_KEEP)
            self._depth += 1
            try:
                yield
            finally:
                self._depth -= 1
                if self._depth == 0:
                    self._end(_FREE)

    @contextmanager
    def removing(self, wait_s: float) -> Iterator[bool]:
        """Whether something may be removed while this is held; waits so long for that."""
        deadline = time.monotonic() + wait_s
        if not self._mine.acquire(timeout=wait_s):
            yield False
            return
        try:
            is_mine = self._depth > 0 or self._until(lambda: self._ask(_TRY_ALONE), deadline)
            try:
                yield is_mine
            finally:
                if is_mine and self._depth == 0:
                    self._end(_END_ALONE)
        finally:
            self._mine.release()

    def close(self) -> None:
        """Give up the connection."""
        driver, self._driver = self._driver, None
        if driver is not None:
            driver.close()

    def _until(self, is_so: Callable[[], bool], deadline: float) -> bool:
        while not is_so():
            if time.monotonic() >= deadline:
                return False
            time.sleep(_POLL_S)
        return True

    def _ask(self, statement: str) -> bool:
        """On a connection of its own, which is made when it is needed, and anew when it is lost."""
        if self._database is None:
            return True
        try:
            if self._driver is not None and self._driver.closed:
                self._driver = None
            if self._driver is None:
                self._driver = self._database.connect()
            (answer,) = self._driver.execute(statement, (self._database.channel,)).fetchone()
        except Exception as error:
            self.close()  # the next asks on a new connection
            if driver_error(error) is None:
                raise
            raise LogReadError(f"the log cannot be kept from changing: {error}") from error
        return answer is not False  # of type void when it waited

    def _end(self, statement: str) -> None:
        if self._database is None or self._driver is None:
            return
        try:
            self._driver.execute(statement, (self._database.channel,))
        except Exception as error:  # a connection that is lost holds nothing any more
            if driver_error(error) is None:
                raise
            self.close()
