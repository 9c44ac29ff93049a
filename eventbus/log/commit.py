"""Group commit: many units become durable in one transaction, whichever thread comes first."""

from __future__ import annotations

import asyncio
import logging
import os
import threading
import time
from collections import deque
from collections.abc import Callable
from contextlib import suppress

from eventbus.errors import (
    BusClosedError,
    EffectError,
    LogLockedError,
    LogWriteError,
    ReceiptTimeoutError,
)
from eventbus.lens import lens, looking_through
from eventbus.log.at_exit import flush_at_exit
from eventbus.log.interrupts import interrupts_held_back
from eventbus.log.unit import Unit
from eventbus.threads import start_thread

logger = logging.getLogger("eventbus.log")

# Bounds one transaction, so that nobody waits long behind a flood: about 50 ms of writing.
_MAX_EVENTS = 2_000
_MAX_CHARS = 8 * 1024 * 1024
# How long a leader waits for the others: a share for each, about as long as a request takes, and at
# most so long in all. Who publishes alone never waits.
_GATHER_S = 0.000_6
_MOST_GATHER_S = 0.005
# What loops have published and nobody has committed yet.
_MAX_QUEUED = 20_000
_MAX_QUEUED_CHARS = 32 * 1024 * 1024


class GroupCommit:
    """A queue of units and the lock under which one thread commits for all.

    A plain thread commits its own unit, and with it whatever else waits (``commit``): handing
    over to another thread would cost more than the commit. An event loop must not block, so its
    units are committed by the "eventbus-writer" thread (``submit``), unless a leader comes by
    first. ``write`` runs under the lock, so commits are strictly one after the other.

    Who finds the lock taken waits for a baton of its own unit, which it gets when that is
    committed or when it is its turn to lead. Were all to wait for the lock, each would have to
    take it once, one after the other, only to see that its unit was committed long ago.
    """

    def __init__(self, write: Callable[[list[Unit]], None]) -> None:
        self._write = write
        self._queue: deque[Unit] = deque()
        self._queued_chars = 0  # of their payloads; guarded by _gate
        self._gate = threading.Lock()  # guards the queue's end and _is_closed
        self._lock = threading.Lock()  # the commit lock
        self._expected = 0  # units that may well come before the next commit is made
        self._gathered: threading.Lock | None = None  # given when they are there
        self._committing: int | None = None  # the thread that holds it while it writes
        self._wake = threading.Event()
        self._is_closed = False
        self._pid = os.getpid()
        self._thread = threading.Thread(target=self._run, name="eventbus-writer", daemon=True)

    @property
    def is_forked(self) -> bool:
        """Whether this is a copy in a child process: files and locks belong to the parent."""
        return os.getpid() != self._pid

    @property
    def is_committing(self) -> bool:
        """Whether a commit is under way now."""
        return self._committing is not None

    @property
    def is_alive(self) -> bool:
        """Whether the writer's thread runs."""
        return self._thread.is_alive()

    def start(self) -> None:
        """Begin to commit what is submitted. Raises NoThreadError."""
        start_thread(self._thread)
        flush_at_exit(self)

    def submit(self, unit: Unit) -> None:
        """Queue the unit and return at once."""
        self._enqueue(unit)
        self.hurry()

    def submit_bounded(self, unit: Unit) -> None:
        """As ``submit``, but when too much waits already, block for the commit.

        For a loop that publishes without ever waiting: else its events would fill the memory.
        """
        self.submit(unit)
        if len(self._queue) > _MAX_QUEUED or self._queued_chars > _MAX_QUEUED_CHARS:
            self.wait(unit)

    def submit_patiently(self, unit: Unit) -> None:
        """Queue the unit for whichever commit comes next; ``hurry`` if none should come."""
        self._enqueue(unit)

    def hurry(self) -> None:
        """Have what is queued committed now."""
        if not self._wake.is_set():
            self._wake.set()

    def commit(self, unit: Unit) -> None:
        """Queue the unit and block until it is committed; its own error is raised."""
        self._check_may_commit()
        unit.baton = _taken_baton()  # before it can be committed
        self._enqueue(unit)
        self.wait(unit)

    def wait(self, unit: Unit, timeout_s: float | None = None) -> None:
        """Block until a queued unit is committed, committing it here if nobody else does.

        Raises the unit's error, or ReceiptTimeoutError after ``timeout_s`` seconds.
        """
        if not unit.is_done:
            self._check_may_commit()
            with self._gate:
                baton = unit.baton = unit.baton or _taken_baton()
            deadline = None if timeout_s is None else time.monotonic() + timeout_s
            try:
                while not self._lead(unit):
                    left_s = -1 if deadline is None else max(0.0, deadline - time.monotonic())
                    if not baton.acquire(timeout=left_s):
                        raise ReceiptTimeoutError(
                            f"not recorded within {timeout_s} s; it still may be"
                        )
                _give(baton)  # on to others who wait for the same unit
            except BaseException:
                self.hurry()  # should the turn to lead have come to who waits no more
                raise
        if unit.error is not None:
            raise unit.error

    def _lead(self, unit: Unit) -> bool:
        """Commit until the unit is done, if nobody else commits now; whether it is done."""
        if not unit.is_done and self._lock.acquire(blocking=False):
            try:
                self._gather()
                while not unit.is_done:
                    self._drain_once()
            finally:
                self._lock.release()
                self._pass_on()
        return unit.is_done

    def _gather(self) -> None:
        """With the lock held: let those who came together last time come together again.

        Threads that publish one event after the other come back one by one after each commit.
        Committing for the first of them at once would make every commit one for two or three;
        most of what a commit costs, the processor's time included, is the disk's flush.
        """
        expected = self._expected
        if len(self._queue) < expected:
            self._gathered = gathered = _taken_baton()
            if len(self._queue) < expected:  # none of them came before it was there
                gathered.acquire(timeout=min(expected * _GATHER_S, _MOST_GATHER_S))
            self._gathered = None

    def _pass_on(self) -> None:
        """After the lock was released: let somebody commit what was queued meanwhile."""
        try:
            baton = self._queue[0].baton
        except IndexError:
            return
        if baton is None:
            self.hurry()
        else:
            _give(baton)

    def flush(self, timeout_s: float) -> None:
        """Block until what is queued, or being committed, is committed. Raises as ``wait``."""
        if self.is_forked or self._is_closed or not (self._queue or self._lock.locked()):
            return
        unit = Unit()
        self._enqueue(unit)
        self.wait(unit, timeout_s)

    def exclusively(self, function: Callable[[], None]) -> None:
        """Run ``function`` between two commits."""
        self._check_may_commit()
        try:
            with self._lock:
                function()
        finally:
            self._pass_on()

    def close(self) -> None:
        """Commit what is queued and take nothing more."""
        with self._gate:
            self._is_closed = True
        self._wake.set()
        if self._thread.is_alive():
            self._thread.join()

    def _enqueue(self, unit: Unit) -> None:
        self._check_process()
        with self._gate:
            if self._is_closed:
                raise BusClosedError("the bus is closed; the event was not recorded")
            self._queue.append(unit)
            self._queued_chars += unit.chars
            if self._gathered is not None and len(self._queue) >= self._expected:
                _give(self._gathered)

    def _check_process(self) -> None:
        if self.is_forked:
            raise LogLockedError(
                f"the bus was opened by process {self._pid} and this is process {os.getpid()}, "
                "forked from it: one embedded database has one bus; open another database here "
                "or publish over HTTP with RemoteEventBus"
            )

    def _check_may_commit(self) -> None:
        self._check_process()
        if self._committing == threading.get_ident():
            raise EffectError(
                "a commit is being made in this thread: what is called by it (a listener, the "
                "function of an effect) cannot wait for another"
            )

    def _run(self) -> None:
        while True:
            self._wake.wait()
            self._wake.clear()
            while self._queue:
                # What the function of an effect raises must not end this thread: every event loop
                # would wait for it for ever. The units have it as their error.
                with suppress(BaseException), self._lock:
                    if self._queue:
                        self._drain_once()
            # In this order: once it is closed nothing is queued any more.
            if self._is_closed and not self._queue:
                return

    def _drain_once(self) -> None:
        with interrupts_held_back():
            batch = self._take_batch()
            self._committing = threading.get_ident()
            try:
                if lens() is None:
                    self._write(batch)
                else:  # who commits for all does so with everything that they have to write
                    with looking_through(None):
                        self._write(batch)
            except BaseException as error:  # write promises not to; no waiter may hang if it does
                logger.exception("a commit of %d units failed", len(batch))
                for unit in batch:
                    unit.error = unit.error or _cut_off(error)
                if not isinstance(error, Exception):
                    raise
            finally:
                self._committing = None
                self._expected = len(self._queue) + sum(u.baton is not None for u in batch)
                self._release(batch)

    def _take_batch(self) -> list[Unit]:
        batch: list[Unit] = []
        queue = self._queue
        size = chars = 0
        while queue and size < _MAX_EVENTS and chars < _MAX_CHARS:
            # A call changes who gets which events: they are recorded before it or after it.
            if batch and (batch[0].call or queue[0].call):
                break
            unit = queue.popleft()
            batch.append(unit)
            size += 1 + len(unit.events) + len(unit.successes)
            chars += unit.chars
        with self._gate:
            self._queued_chars -= chars
        return batch

    def _release(self, batch: list[Unit]) -> None:
        by_loop: dict[asyncio.AbstractEventLoop, list[asyncio.Future[None]]] = {}
        for unit in batch:
            unit.is_done = True
            if unit.baton is not None:
                _give(unit.baton)
            if unit.waiters:
                waiters, unit.waiters = unit.waiters, []
                for loop, future in waiters:
                    by_loop.setdefault(loop, []).append(future)
        for loop, futures in by_loop.items():
            call_soon(loop, _resolve, futures)


def _taken_baton() -> threading.Lock:
    baton = threading.Lock()
    baton.acquire()
    return baton


def _give(baton: threading.Lock) -> None:
    """Wake who waits for the baton, or will."""
    with suppress(RuntimeError):  # it was given already
        baton.release()


def _cut_off(error: BaseException) -> Exception:
    if isinstance(error, Exception):
        return error
    return LogWriteError(f"the commit was cut off by {error!r}; it may have been made or not")


def call_soon(
    loop: asyncio.AbstractEventLoop, function: Callable[..., None], *args: object
) -> None:
    """Run ``function`` on ``loop`` from any thread; a loop that has closed waits for nothing."""
    try:
        loop.call_soon_threadsafe(function, *args)
    except RuntimeError:
        if not loop.is_closed():
            raise


def _resolve(futures: list[asyncio.Future[None]]) -> None:
    for future in futures:
        if not future.done():
            future.set_result(None)
