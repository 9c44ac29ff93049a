"""The watchdog: sees from outside whether the bus's threads do their work, and tells who does not.

It also asks a log that cannot be written, every second, whether it can be again.
"""

from __future__ import annotations

import asyncio
import logging
import selectors
import sys
import threading
import time
import traceback
from collections.abc import Callable
from typing import Any

from eventbus.dispatcher import Dispatcher
from eventbus.log.eventlog import EventLog
from eventbus.loop import LoopThread
from eventbus.runner import Run
from eventbus.threads import start_thread
from eventbus.trouble import Trouble

logger = logging.getLogger("eventbus.watchdog")

_LOOK_S = 0.25
_BEAT_S = 0.1
# A handler that holds the loop for this long makes everybody else wait for it.
BLOCKED_S = 1.0
# Longer than any commit takes on a disk that works.
_STUCK_COMMIT_S = 5.0
_PROBE_S = 1.0
_MOST_FRAMES = 12


class Watchdog:
    """One thread, "eventbus-watchdog"; ``troubles`` may be called from any thread."""

    def __init__(self, log: EventLog, loop_thread: LoopThread, dispatcher: Dispatcher) -> None:
        self._log = log
        self._loop_thread = loop_thread
        self._loop = loop_thread.loop
        self._dispatcher = dispatcher
        self._beat_at = time.monotonic()
        self._blocked: Trouble | None = None
        self._culprit: Run | None = None  # of the block that is under way
        self._told_s = 0.0
        self._stuck: Trouble | None = None
        self._commit: tuple[int, float] = (-1, 0.0)  # the log's version, and since when
        self._failed: Trouble | None = None
        self.warnings: tuple[Trouble, ...] = ()
        """What others who look have found; they replace it as a whole."""
        self._probed_at = 0.0
        self.sources: list[Callable[[], list[Trouble]]] = []
        self._closing = threading.Event()
        self._thread = threading.Thread(target=self._run, name="eventbus-watchdog", daemon=True)

    def start(self) -> None:
        """Raises NoThreadError."""
        self._loop.set_exception_handler(self._on_loop_error)
        self._loop.call_soon_threadsafe(self._beat)
        start_thread(self._thread)

    def close(self) -> None:
        """End the thread."""
        self._closing.set()
        if self._thread.is_alive():
            self._thread.join(_LOOK_S)

    def late_s(self) -> float:
        """For how long the loop has not come to its beat; 0 while it is in time."""
        return max(0.0, time.monotonic() - self._beat_at - _BEAT_S)

    def troubles(self) -> list[Trouble]:
        """Why the bus cannot do all of its work now; empty when it can."""
        found = self._log.storage.troubles()
        found += [t for t in (self._stuck, self._blocked, self._failed) if t is not None]
        for source in list(self.sources):
            found += source()
        if self._closing.is_set():
            return found
        found += self.warnings
        if not self._log.is_writer_alive:
            found.append(Trouble.now("writer", "the thread eventbus-writer has ended: restart"))
        if not self._loop_thread.is_alive:
            found.append(Trouble.now("loop", "the thread eventbus-loop has ended: restart"))
        return found

    # -- on the loop -------------------------------------------------------------------------

    def _beat(self) -> None:
        self._beat_at = time.monotonic()
        if not self._closing.is_set():
            self._loop.call_later(_BEAT_S, self._beat)

    def _on_loop_error(self, loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        """An error that nobody caught: a handler's own callback, or one of the bus's."""
        loop.default_exception_handler(context)
        error = context.get("exception")
        if error is not None and "handle" in context and _is_ours(error):
            # The log has what was to be delivered; what the loop knew of it may be incomplete.
            self._failed = Trouble.now(
                "dispatcher",
                f"delivering met {type(error).__name__}: {error}; what it was about is in the log "
                "and may wait there until a restart",
            )

    # -- the thread --------------------------------------------------------------------------

    def _run(self) -> None:
        while not self._closing.wait(_LOOK_S):
            try:
                self._look_at_loop()
                self._look_at_commit()
                self._look_at_storage()
            except Exception:
                logger.exception("the watchdog's look failed")

    def _look_at_loop(self) -> None:
        late_s = self.late_s()
        if late_s < BLOCKED_S:
            if self._blocked is not None:
                self._end_block()
            return
        if self._blocked is not None and late_s < 2 * self._told_s:
            return
        frame = sys._current_frames().get(self._loop_thread.ident or 0)
        if frame is None or frame.f_code.co_filename == selectors.__file__:
            return  # it waits for something to do: the machine is late, not a handler
        run = self._running()
        self._culprit, self._told_s = run or self._culprit, late_s
        detail = f"{_name(run)} has blocked the bus's loop for {late_s:.1f} s"
        stack = "".join(traceback.format_stack(frame, _MOST_FRAMES)).rstrip()
        logger.warning("%s; it is at:\n%s", detail, stack)
        # Last, and so it is at the end: who sees that it is so finds it said and counted.
        since = self._blocked.since if self._blocked else Trouble.now("loop", "").since
        self._blocked = Trouble("loop", f"{detail}; nothing is delivered meanwhile", since)

    def _end_block(self) -> None:
        run, self._culprit = self._culprit, None
        logger.warning(
            "the bus's loop goes on; %s had blocked it for at least %.1f s",
            _name(run), self._told_s,
        )  # fmt: skip
        if run is not None:
            run.job.lane.blocked_count += 1
        self._told_s = 0.0
        self._blocked = None

    def _running(self) -> Run | None:
        """The attempt whose code is on the loop now."""
        task = asyncio.current_task(self._loop)
        runs = self._dispatcher.runner.runs
        return next((run for run in runs if task is not None and run.task is task), None)

    def _look_at_commit(self) -> None:
        if not self._log.is_committing or self._commit[0] != self._log.version:
            self._commit = (self._log.version, time.monotonic())
            self._stuck = None
            return
        stuck_s = time.monotonic() - self._commit[1]
        if stuck_s > _STUCK_COMMIT_S and self._stuck is None:
            self._stuck = Trouble.now(
                "storage", f"a commit has not ended for more than {_STUCK_COMMIT_S:g} s"
            )
            logger.error("%s", self._stuck.detail)

    def _look_at_storage(self) -> None:
        storage = self._log.storage
        written = storage.clear_probe()
        if written is not None:
            self._log.submit(written)
        if time.monotonic() - self._probed_at >= _PROBE_S:
            probe = storage.probe()
            if probe is not None:
                self._probed_at = time.monotonic()
                self._log.submit(probe)


def _name(run: Run | None) -> str:
    if run is None:
        return "something that is no attempt of a handler"
    subscription = run.job.lane.subscription
    kind = "inline" if subscription.is_inline else "async"
    event = run.job.event
    return f"the {kind} handler {subscription.name} (event {event.sequence}, {event.type})"


def _is_ours(error: BaseException) -> bool:
    """Whether the callback that failed is the bus's: its frame is the second, after asyncio's."""
    frames = [frame for frame, _ in traceback.walk_tb(error.__traceback__)]
    return len(frames) > 1 and str(frames[1].f_globals.get("__name__", "")).startswith("eventbus.")
