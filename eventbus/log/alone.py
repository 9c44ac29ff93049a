"""What one process of a log does at a time, for as long as it lives."""

from __future__ import annotations

import threading
from typing import Any

from eventbus.errors import LogReadError
from eventbus.log import locks
from eventbus.log.database import Database
from eventbus.log.postgresql import PostgresqlDatabase
from eventbus.log.storage import driver_error


class Alone:
    """A lock of the database, by name, that ends with the connection which it has for itself.

    Where one process has the log to itself it is always free. Any thread may use it; that only
    one of a process does is that process's own business.
    """

    def __init__(self, database: Database, name: str) -> None:
        self._database = database if isinstance(database, PostgresqlDatabase) else None
        self._name = name
        self._lock = threading.Lock()  # guards the connection
        self._driver: Any = None

    def take(self) -> bool:
        """Have it, unless another process does. Blocks for the database. Raises LogReadError."""
        if self._database is None:
            return True
        with self._lock:
            try:
                if self._driver is None or self._driver.closed:
                    self._driver = self._database.connect()
                if locks.take(self._driver, self._key, self._name):
                    return True
                self._close()
            except Exception as error:
                self._close()
                if driver_error(error) is None:
                    raise
                raise LogReadError(f"it is not known what other processes do: {error}") from error
            return False

    def free(self) -> None:
        """Let another process have it."""
        with self._lock:
            self._close()

    def is_held(self) -> bool:
        """Whether some process has it now. Raises LogReadError."""
        if self._database is None:
            return False
        with self._database.reading() as conn:
            return bool(locks.held(conn, self._key, [self._name]))

    @property
    def _key(self) -> str:
        assert self._database is not None
        return f"{self._database.channel} alone"  # beside the leases, which are counted

    def _close(self) -> None:
        driver, self._driver = self._driver, None
        if driver is not None:
            driver.close()
