"""Leases on work that one process at a time does: locks in the database, lost with the connection.

They are PostgreSQL's advisory locks of a session (its manual, 13.3.5), so nobody's clock counts: a
process that dies loses its leases when the server sees its connection end, at once as a rule.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Collection, Iterable, Mapping
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Any

from eventbus.log import locks
from eventbus.log.postgresql import PostgresqlDatabase
from eventbus.log.shares import Picture, shares
from eventbus.log.storage import driver_error
from eventbus.threads import start_thread

logger = logging.getLogger("eventbus.leases")

# How soon a lease that has become free is taken, and the loss of one is noticed.
_LOOK_S = 0.5
FIRST = "work"
"""Who has this lease takes precedence for all that are not shared out, so that identical processes
leave these to one of them; without such a process nobody has to wait."""
# For so long a lease is left to the process that is to have it.
_PATIENCE_S = 1.5
# A process that has not taken its share for so long is given none for a while.
_DISTRUST_S = 60.0
# A handler that could not end in this time: its subscription stays where it is for a while.
_STAYS_S = 600.0
# A process that has not looked for so long is frozen; the server ends its connection.
_FROZEN_S = 30.0


@dataclass(frozen=True, slots=True)
class Sharing:
    """How what is done under a lease goes over to another process.

    ``leave`` begins to end it in good order; its future is true when nothing of it runs any more,
    and false when it goes on here. ``is_busy`` says whether that would take a while now.
    """

    leave: Callable[[], Future[bool]]
    is_busy: Callable[[], bool]


@dataclass(slots=True)
class _Wanted:
    gained: Callable[[], None]
    lost: Callable[[], None]
    sharing: Sharing | None  # None for one that is not shared out
    is_shown: bool = False  # that it is wanted, to the other processes
    is_held: bool = False
    free_since: float | None = None  # by the monotonic clock, as far as was seen
    given_at: float = -_PATIENCE_S
    stays_until: float = 0.0
    leaving: Future[bool] | None = None

    def rank(self, now: float) -> int:
        """Of those that are held here, the ones with the smallest go first if any must."""
        if self.sharing is None or now < self.stays_until:
            return 2
        if self.leaving is not None:
            return -1
        return int(self.sharing.is_busy())


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
        self._me = 0  # as the server knows the session
        self._keys: dict[str, int] = {}  # of all names that were ever wanted
        self._distrusted: dict[int, float] = {}  # until when, by the monotonic clock
        self._woken = threading.Event()
        self._is_closing = False
        self._thread = threading.Thread(target=self._run, name="eventbus-leases", daemon=True)

    def start(self) -> None:
        """Raises NoThreadError."""
        start_thread(self._thread)

    def want(
        self, name: str, gained: Callable[[], None], lost: Callable[[], None],
        sharing: Sharing | None = None,
    ) -> None:  # fmt: skip
        """Take the lease ``name`` when it is free, now or later.

        ``gained`` and ``lost`` are called in the leases' thread; when ``gained`` raises, the lease
        is given back and taken again later. One with ``sharing`` is shared out: it is given to
        another process that has less of them, and ``lost`` is called when nothing runs any more.
        """
        with self._lock:
            self._wanted[name] = _Wanted(gained, lost, sharing)
        self._woken.set()

    def take_now(
        self, name: str, gained: Callable[[], None], lost: Callable[[], None],
        sharing: Sharing | None = None,
    ) -> bool:  # fmt: skip
        """As ``want``, but if it may be taken at once that is done here, and ``gained`` not called.

        Returns whether it was. Blocks for the database.
        """
        with self._lock:
            wanted = self._wanted[name] = _Wanted(gained, lost, sharing)
            try:
                picture = self._show()
                key = self._keys[name]
                if sharing is None:
                    is_ours = self._has_precedence(picture)
                else:
                    is_ours = self._owners(picture).get(key) == self._me
                if is_ours and key not in picture.held:
                    wanted.is_held = locks.take(self._driver, self._database.channel, name)
            except Exception as error:
                if driver_error(error) is None:
                    raise
                logger.warning("the lease %r is taken later: %s", name, error)
            return wanted.is_held

    def give_back(self, name: str) -> None:
        """Want it no more; ``lost`` is not called."""
        with self._lock:
            wanted = self._wanted.pop(name, None)
            if wanted is None or self._driver is None:
                return
            try:
                if wanted.is_held:
                    locks.give_back(self._driver, self._database.channel, name)
                if wanted.is_shown:
                    locks.hide(self._driver, self._database.channel, name)
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
            return locks.held(conn, self._database.channel, names)

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

    # -- the thread --------------------------------------------------------------------------

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
        self._hand_over()
        with self._lock:
            picture = self._show()  # raises when the connection, and all that is held, is lost
            wanted = dict(self._wanted)
        owners = self._owners(picture)
        # First that before all which its holder takes precedence for.
        for_us = [
            name for name in sorted(wanted, key=lambda each: each != FIRST)
            if self._may_take(name, wanted[name], picture, owners)
        ]  # fmt: skip
        self._take(for_us)
        now = time.monotonic()
        for name, each in wanted.items():
            is_over = owners.get(self._keys[name], self._me) != self._me
            if is_over and each.is_held and each.leaving is None and now >= each.stays_until:
                self._leave(each)

    def _may_take(
        self, name: str, wanted: _Wanted, picture: Picture, owners: Mapping[int, int]
    ) -> bool:
        key, now = self._keys[name], time.monotonic()
        if wanted.is_held or key in picture.held:
            wanted.free_since = None
            return False
        if wanted.free_since is None:
            wanted.free_since = now
        is_old = now - wanted.free_since >= _PATIENCE_S
        if wanted.sharing is None:
            return is_old or self._has_precedence(picture)
        owner = owners.get(key, self._me)
        if is_old and owner != self._me:
            self._distrusted[owner] = now + _DISTRUST_S
            logger.warning("the process of session %d does not take its share", owner)
        # What was just given away is not meant to come back.
        return is_old or (owner == self._me and now - wanted.given_at >= _PATIENCE_S)

    def _leave(self, wanted: _Wanted) -> None:
        if wanted.sharing is not None:
            wanted.leaving = wanted.sharing.leave()
            wanted.leaving.add_done_callback(lambda _: self._woken.set())

    def _has_precedence(self, picture: Picture) -> bool:
        return self.holds(FIRST) or self._keys[FIRST] not in picture.held

    def _take(self, names: Iterable[str]) -> None:
        taken: list[tuple[str, _Wanted]] = []
        for name in names:
            with self._lock:
                wanted = self._wanted.get(name)
                if wanted is None or wanted.is_held or self._is_closing:
                    continue
                if locks.take(self._driver, self._database.channel, name):
                    wanted.is_held, wanted.free_since = True, None
                    taken.append((name, wanted))
        for name, wanted in taken:
            logger.info("this process now has the lease %r", name)
            try:
                wanted.gained()
            except Exception:
                logger.exception("the work under the lease %r could not be begun", name)
                with self._lock:
                    wanted.is_held = False
                    locks.give_back(self._driver, self._database.channel, name)

    # -- sharing out -------------------------------------------------------------------------

    def _show(self) -> Picture:
        """Let the others see what is wanted here, and look; with the lock held."""
        if self._driver is None:
            self._driver = self._database.connect(most_idle_s=_FROZEN_S)
            self._me = locks.session(self._driver)
            for wanted in self._wanted.values():
                wanted.is_shown = False
        channel = self._database.channel
        if new := {FIRST, *self._wanted} - self._keys.keys():
            self._keys |= locks.keys(self._driver, new)
        hidden = [name for name, each in self._wanted.items() if each.sharing and not each.is_shown]
        if hidden:
            locks.show(self._driver, channel, hidden)
            for name in hidden:
                self._wanted[name].is_shown = True
        return locks.picture(self._driver, channel)

    def _owners(self, picture: Picture) -> dict[int, int]:
        now = time.monotonic()
        self._distrusted = {pid: until for pid, until in self._distrusted.items() if until > now}
        ranks = {
            self._keys[name]: each.rank(now)
            for name, each in list(self._wanted.items())
            if each.is_held and name in self._keys
        }
        last = picture.held.get(self._keys[FIRST])
        return shares(picture.without(self._distrusted), last=last, ranks=ranks)

    def _hand_over(self) -> None:
        """Give back what has ended in good order."""
        for name, each in list(self._wanted.items()):
            leaving = each.leaving
            if leaving is None or not leaving.done():
                continue
            each.leaving = None
            if leaving.cancelled() or leaving.exception() or not leaving.result():
                each.stays_until = time.monotonic() + _STAYS_S
                logger.info("the lease %r stays here: what runs under it does not end", name)
                continue
            self._tell_lost(name, each)
            with self._lock:
                if self._wanted.get(name) is each and each.is_held:
                    each.is_held, each.given_at = False, time.monotonic()
                    locks.give_back(self._driver, self._database.channel, name)
            logger.info("another process may have the lease %r now", name)

    def _tell_lost(self, name: str, wanted: _Wanted) -> None:
        try:
            wanted.lost()
        except Exception:
            logger.exception("the work under the lease %r could not be ended", name)

    # -- losing all --------------------------------------------------------------------------

    def _lose(self, error: Exception) -> None:
        with self._lock:
            if self._driver is not None:
                self._driver.close()
                self._driver = None
            lost = [(name, each) for name, each in self._wanted.items() if each.is_held]
            for _, each in lost:
                each.is_held, each.leaving = False, None
        for name, each in lost:
            logger.error("the lease %r is lost: %s", name, error)
            self._tell_lost(name, each)
