"""Keeps the snapshots: folds the log behind its end, gently, and writes down what changes."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Collection, Sequence

from eventbus.errors import EventBusError
from eventbus.log.baseline import begin_fold
from eventbus.log.compare import Tables
from eventbus.log.eventlog import EventLog
from eventbus.log.fold import Fold
from eventbus.log.moments import first_unfinished, mark_at, newest_gone
from eventbus.log.row_steps import RowSteps
from eventbus.log.snapshots import TROUBLES, Snapshots
from eventbus.pace import Pace
from eventbus.patterns import Pattern
from eventbus.replay import ReplayBus
from eventbus.threads import start_thread

EVERY = 1_000
"""Events from one snapshot to the next: what has to be handled again for any time between."""
COPY_EVERY = 50_000
# An unfinished delivery is waited for, so that its effects are in the snapshot, but not for ever.
_MOST_WAITED_FOR = 20_000
# Not more, but at no lower priority than others: it handles events in Python, and a thread that
# the system puts aside while it holds the interpreter lets the whole process wait.
SHARE = 0.15
"""Of a processor."""
_ROUND_S = 0.1
_LOOK_S = 1.0
_AFTER_FAILURE_S = 30.0
_BETWEEN_S = 0.005
_JOIN_S = 1.0

logger = logging.getLogger("eventbus.travel")


class SnapshotKeeper:
    """One thread, "eventbus-travel"; ``step`` is its work, for tests.

    What it has folded is thrown away when it ends: the next one goes on from the last snapshot.
    """

    def __init__(
        self,
        log: EventLog,
        snapshots: Snapshots,
        install: Callable[[ReplayBus], Collection[str]],
        tables: Tables,
        patterns: Sequence[Pattern],
        *,
        most_bytes: int,
        every: int = EVERY,
        copy_every: int = COPY_EVERY,
        share: float = SHARE,
        meanwhile: Callable[[], None] = lambda: None,
    ) -> None:
        """``install`` subscribes the handlers that keep ``tables`` and gives their names.

        ``patterns`` are of the events that they take; ``most_bytes`` may be taken by snapshots.
        ``meanwhile`` is called every second.
        """
        self._log = log
        self._snapshots = snapshots
        self._install = install
        self._tables = tables
        self._patterns = patterns
        self._most_bytes = most_bytes
        self._every = every
        self._copy_every = copy_every
        self._share = share
        self._meanwhile = meanwhile
        self._fold: Fold | None = None
        self._bus: ReplayBus | None = None
        self._steps: RowSteps | None = None
        self._ids: list[int] = []
        self._generation = 0
        self._seen_version = -1
        self._is_opened = False
        self._closing = threading.Event()
        self._thread = threading.Thread(target=self._run, name="eventbus-travel", daemon=True)

    def start(self) -> None:
        """Begin. Raises NoThreadError."""
        start_thread(self._thread)

    def close(self) -> None:
        """End after the present round, and remove the fold."""
        self._closing.set()
        if self._thread.is_alive():
            self._thread.join(_JOIN_S)
        else:
            self._drop()

    def _run(self) -> None:
        wait_s = _LOOK_S
        while not self._closing.wait(wait_s):
            wait_s = _LOOK_S
            try:
                self._meanwhile()
                while not self._closing.is_set() and self.step():
                    time.sleep(_BETWEEN_S)  # who waits to fold the log has its turn
            except (EventBusError, *TROUBLES) as error:
                logger.warning("no snapshots for time travel can be made now: %s", error)
                self._drop()
                wait_s = _AFTER_FAILURE_S
            except Exception:
                logger.exception("making snapshots for time travel failed")
                self._drop()
                wait_s = _AFTER_FAILURE_S
        self._drop()

    def step(self) -> bool:
        """Fold a little and write a snapshot if it is time; whether there is more to do now."""
        if not self._is_opened:
            with self._snapshots.lock, self._log.reading() as conn:
                self._snapshots.open(conn)
            self._is_opened = True
        last = self._snapshots.position or 0
        if self._fold is None and self._log.last_sequence < last + self._every:
            return False  # nothing to fold yet
        if self._fold is not None and self._generation != self._snapshots.generation:
            self._drop()  # somebody has found them damaged
        self._look_back()
        if self._fold is None:
            self._begin()
        return self._go_on()

    def _look_back(self) -> None:
        """Forget what a delivery that has succeeded late would have changed."""
        if self._fold is None or self._seen_version == self._log.version:
            return
        self._seen_version = self._log.version
        with self._log.reading() as conn:
            filled = self._fold.first_filled(conn)
        if filled is not None:
            logger.info("a delivery of event #%d succeeded late: later snapshots go", filled)
            with self._snapshots.lock:
                self._snapshots.cut(filled - 1)
            self._drop()

    def _begin(self) -> None:
        with self._log.reading() as conn:
            floor = newest_gone(conn, self._patterns)
        fold: Fold | None = None
        last = self._snapshots.position
        if last is not None and last >= floor:
            try:
                fold = self._snapshots.restore(last)
            except TROUBLES as error:
                logger.warning("the snapshots cannot be used: %s", error)
                self._snapshots.drop_damaged(last)
                last = self._snapshots.position
                fold = None if last is None else self._snapshots.restore(last)
        if fold is None:
            with self._snapshots.lock:
                self._snapshots.clear()
            fold = begin_fold(self._log)
        self._fold = fold
        self._bus = ReplayBus(self._log, fold=fold, pace=Pace(self._share))
        names = self._install(self._bus)
        self._ids = [one.id for one in self._log.subscribers() if one.name in names]
        self._steps = RowSteps(fold, self._tables)
        if self._snapshots.position is None:
            self._copy()
        self._generation = self._snapshots.generation

    def _go_on(self) -> bool:
        fold, bus, steps = self._fold, self._bus, self._steps
        assert fold is not None and bus is not None and steps is not None
        target = (fold.position // self._every + 1) * self._every
        with self._log.reading() as conn:
            unfinished = first_unfinished(conn, self._ids)
            end = self._log.last_sequence
            if unfinished is not None and unfinished > end - _MOST_WAITED_FOR:
                end = min(end, unfinished - 1)
            if end < target:
                return False
            if newest_gone(conn, self._patterns) > fold.position:
                self._drop()
                return True  # from the baseline, which has what is gone
            bus.fold(conn, target, _ROUND_S)
            if fold.position < target:
                return True
            mark = mark_at(conn, target)
        with self._snapshots.lock:
            if self._generation != self._snapshots.generation:
                return True
            self._snapshots.add(steps, mark)
            if target - self._snapshots.segment_start >= self._copy_every:
                self._copy()
            self._tidy()
        return True

    def _copy(self) -> None:
        assert self._fold is not None
        with self._log.reading() as conn:
            mark = mark_at(conn, self._fold.position)
        with self._snapshots.lock:
            self._snapshots.begin(self._fold, mark)
            self._tidy()

    def _tidy(self) -> None:
        with self._log.reading() as conn:
            floor = newest_gone(conn, self._patterns)
        self._snapshots.thin(self._most_bytes, floor)
        self._generation = self._snapshots.generation

    def _drop(self) -> None:
        bus, fold = self._bus, self._fold
        self._bus = self._fold = self._steps = None
        if bus is not None:
            bus.close()
        if fold is not None:
            fold.remove()
