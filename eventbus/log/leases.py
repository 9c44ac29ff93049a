"""Leases on work that one process at a time does: locks in the database, lost with the connection.

They are PostgreSQL's advisory locks of a session (its manual, 13.3.5), so nobody's clock counts: a
process that dies loses its leases when the server sees its connection end, at once as a rule.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Collection
from dataclasses import dataclass
from typing import Any

from eventbus.log.postgresql import PostgresqlDatabase
from eventbus.log.storage import driver_error
from eventbus.threads import start_thread

logger = logging.getLogger("eventbus.leases")

# How soon a lease that has become free is taken, and the loss of one is noticed.
_LOOK_S = 0.5
FIRST = "work"
"""Who has this lease takes precedence for all others, so that identical processes leave the work
to one of them; without such a process nobody has to wait."""
# For so long a lease is left to the process that takes precedence.
_PATIENCE_S = 1.5
_HELD = """
SELECT name FROM unnest(%s::text[]) AS name WHERE EXISTS (
    SELECT 1 FROM pg_locks WHERE locktype = 'advisory' AND objsubid = 2 AND granted
    AND database = (SELECT oid FROM pg_database WHERE datname = current_database())
    AND classid::bigint = (hashtext(%s)::bigint & 4294967295)
    AND objid::bigint = (hashtext(name)::bigint & 4294967295))
"""
# A process that has not looked for so long is frozen; the server ends its connection.
_FROZEN_S = 30.0
_TAKE = "SELECT pg_try_advisory_lock(hashtext(%s), hashtext(%s))"
_GIVE_BACK = "SELECT pg_advisory_unlock(hashtext(%s), hashtext(%s))"


@dataclass(slots=True)
class _Wanted:
    gained: Callable[[], None]
    lost: Callable[[], None]
    is_held: bool = False
    free_since: float | None = None  # by the monotonic clock, as far as was seen


class Leases:
    """One thread, "eventbus-leases", with a connection of its own; it calls what is told of.

    A lease that is lost may be another's before this process knows. So what is done under one must
    do no harm when it is done twice: deliveries have it that each is finished once.
    """

    def __init__(self, database: PostgresqlDatabase) -> None:
        self._database = database
        self._lock = threading.RLock()  # guards _wanted and the use of _driver
        self._wanted: dict[str, _Wanted] = {}
        self._driver: Any = None
        self._woken = threading.Event()
        self._is_closing = False
        self._thread = threading.Thread(target=self._run, name="eventbus-leases", daemon=True)

    def start(self) -> None:
        """Raises NoThreadError."""
        start_thread(self._thread)

    def want(self, name: str, gained: Callable[[], None], lost: Callable[[], None]) -> None:
        """Take the lease ``name`` when it is free, now or later.

        ``gained`` and ``lost`` are called in the leases' thread; when ``gained`` raises, the lease
        is given back and taken again later.
        """
        with self._lock:
            self._wanted[name] = _Wanted(gained, lost)
        self._woken.set()

    def take_now(self, name: str, gained: Callable[[], None], lost: Callable[[], None]) -> bool:
        """As ``want``, but if it may be taken at once that is done here, and ``gained`` not called.

        Returns whether it was. Blocks for the database.
        """
        with self._lock:
            wanted = self._wanted[name] = _Wanted(gained, lost)
            try:
                if self._driver is None:
                    self._driver = self._database.connect(most_idle_s=_FROZEN_S)
                free = self._free([name])
                if name in free and (FIRST in free or self.holds(FIRST)):
                    wanted.is_held = self._execute(_TAKE, name)
            except Exception as error:
                if driver_error(error) is None:
                    raise
                logger.warning("the lease %r is taken later: %s", name, error)
            return wanted.is_held

    def give_back(self, name: str) -> None:
        """Want it no more; ``lost`` is not called."""
        with self._lock:
            wanted = self._wanted.pop(name, None)
            if wanted is not None and wanted.is_held:
                try:
                    self._execute(_GIVE_BACK, name)
                except Exception as error:  # a connection that is lost has given it back
                    if driver_error(error) is None:
                        raise

    def holds(self, name: str) -> bool:
        """Whether this process has the lease, as far as it knows."""
        wanted = self._wanted.get(name)
        return wanted is not None and wanted.is_held

    def held_by_anybody(self, names: Collection[str]) -> set[str]:
        """Which of these leases some process has now. Raises LogReadError."""
        with self._database.reading() as conn:
            rows = conn.exec_driver_sql(_HELD, (list(names), self._database.channel))
            return set(rows.scalars())

    def stop_taking(self) -> None:
        """Take nothing more; what is held stays so until ``close``."""
        self._is_closing = True
        self._woken.set()
        if self._thread.is_alive() and threading.current_thread() is not self._thread:
            self._thread.join(2 * _LOOK_S)

    def close(self) -> None:
        """Give everything back."""
        self.stop_taking()
        with self._lock:
            if self._driver is not None:
                self._driver.close()
                self._driver = None

    def _run(self) -> None:
        while not self._is_closing:
            try:
                self._look()
            except Exception as error:
                if driver_error(error) is None:
                    logger.exception("looking for leases failed")
                self._lose(error)
            self._woken.wait(_LOOK_S)
            self._woken.clear()

    def _look(self) -> None:
        with self._lock:
            if self._driver is None:
                self._driver = self._database.connect(most_idle_s=_FROZEN_S)
            names = [name for name, wanted in self._wanted.items() if not wanted.is_held]
            # Raises when the connection, and with it all that is held, is lost.
            free = self._free(names)
        now = time.monotonic()
        if FIRST in names:  # before all that its holder takes precedence for
            names = [FIRST, *(name for name in names if name != FIRST)]
        for name in names:
            wanted = self._wanted.get(name)
            if wanted is None or self._is_closing:
                continue
            wanted.free_since = None if name not in free else wanted.free_since or now
            is_old = wanted.free_since is not None and now - wanted.free_since >= _PATIENCE_S
            has_precedence = FIRST in free or self.holds(FIRST)
            if is_old or (name in free and has_precedence):
                self._take(name)

    def _free(self, names: list[str]) -> set[str]:
        """Which of these, and of the first of all, nobody has."""
        asked = [FIRST, *names]
        held = self._driver.execute(_HELD, (asked, self._database.channel)).fetchall()
        return set(asked) - {name for (name,) in held}

    def _take(self, name: str) -> None:
        with self._lock:
            wanted = self._wanted.get(name)
            if wanted is None or wanted.is_held or not self._execute(_TAKE, name):
                return
            wanted.is_held, wanted.free_since = True, None
        logger.info("this process now has the lease %r", name)
        try:
            wanted.gained()
        except Exception:
            logger.exception("the work under the lease %r could not be begun", name)
            with self._lock:
                wanted.is_held = False
                self._execute(_GIVE_BACK, name)

    def _lose(self, error: Exception) -> None:
        with self._lock:
            if self._driver is not None:
                self._driver.close()
                self._driver = None
            lost = [(name, each) for name, each in self._wanted.items() if each.is_held]
            for _, each in lost:
                each.is_held = False
        for name, each in lost:
            logger.error("the lease %r is lost: %s", name, error)
            try:
                each.lost()
            except Exception:
                logger.exception("the work under the lease %r could not be ended", name)

    def _execute(self, statement: str, name: str) -> bool:
        if self._driver is None:
            return False
        row = self._driver.execute(statement, (self._database.channel, name)).fetchone()
        return bool(row[0])
