"""Group commit: many units become durable in one transaction, whichever thread comes first."""

from __future__ import annotations

import asyncio
import logging
import os
import threading
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
from eventbus.log.interrupts import interrupts_held_back
from eventbus.log.unit import Unit
from eventbus.threads import start_thread

logger = logging.getLogger("eventbus.log")

# Bounds one transaction, so that nobody waits long behind a flood: about 50 ms of writing.
_MAX_EVENTS = 2_000
_MAX_CHARS = 8 * 1024 * 1024
# What loops have published and nobody has committed yet.
_MAX_QUEUED = 20_000
_MAX_QUEUED_CHARS = 32 * 1024 * 1024


class GroupCommit:
    """A queue of units and the lock under which one thread commits for all.

    A plain thread commits its own unit, and with it whatever else waits (``commit``): handing
    over to another thread would cost more than the commit. An event loop must not block, so its
    units are committed by the "eventbus-writer" thread (``submit``), unless a leader comes by
    first. ``write`` runs under the lock, so commits are strictly one after the other.
    """

    def __init__(self, write: Callable[[list[Unit]], None]) -> None:
        self._write = write
        self._queue: deque[Unit] = deque()
        self._queued_chars = 0  # of their payloads; guarded by _gate
        self._gate = threading.Lock()  # guards the queue's end and _is_closed
        self._lock = threading.Lock()  # the commit lock
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
        self._enqueue(unit)
        self.wait(unit)

    def wait(self, unit: Unit, timeout_s: float | None = None) -> None:
        """Block until a queued unit is committed, committing it here if nobody else does.

        Raises the unit's error, or ReceiptTimeoutError after ``timeout_s`` seconds.
        """
        if not unit.is_done:
            self._check_may_commit()
            if not self._lock.acquire(timeout=-1 if timeout_s is None else max(0.0, timeout_s)):
                raise ReceiptTimeoutError(f"not recorded within {timeout_s} s; it still may be")
            try:
                while not unit.is_done:
                    self._drain_once()
            finally:
                self._lock.release()
        if unit.error is not None:
            raise unit.error

    def exclusively(self, function: Callable[[], None]) -> None:
        """Run ``function`` between two commits."""
        self._check_may_commit()
        with self._lock:
            function()

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
                self._write(batch)
            except BaseException as error:  # write promises not to; no waiter may hang if it does
                logger.exception("a commit of %d units failed", len(batch))
                for unit in batch:
                    unit.error = unit.error or _cut_off(error)
                if not isinstance(error, Exception):
                    raise
            finally:
                self._committing = None
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
            if unit.waiters:
                waiters, unit.waiters = unit.waiters, []
                for loop, future in waiters:
                    by_loop.setdefault(loop, []).append(future)
        for loop, futures in by_loop.items():
            call_soon(loop, _resolve, futures)


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
