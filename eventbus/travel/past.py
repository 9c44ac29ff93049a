"""Past states: a scratch fold that is put at the place asked for, and lent while it is read.

The nearest snapshot before, then the events from there on. What was lent is kept for a while: who
scrubs or plays asks for a place a little further on, and that costs only what lies between.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from typing import Any

from eventbus.errors import RebuildError, TravelError, TravelNotReadyError, TravelTooEarlyError
from eventbus.log.baseline import begin_fold
from eventbus.log.eventlog import EventLog
from eventbus.log.fold import Fold
from eventbus.log.moments import newest_gone
from eventbus.log.snapshots import TROUBLES, Snapshots
from eventbus.patterns import Pattern
from eventbus.replay import ReplayBus

MOST_REPLAYED = 25_000
"""Events that a request handles at most: some seconds of them, until the snapshots are made."""
_FEW = 300  # handled sooner than a snapshot is read
_FAR = 100_000  # events; a fresh copy is nearer than so many rows
_MOST_LENT = 4
_WAIT_S = 10.0
_IDLE_S = 120.0
_TRIES = 3

logger = logging.getLogger("eventbus.travel")


class _Scratch:
    """A fold somewhere in the past; whoever has borrowed it uses it alone."""

    def __init__(self, fold: Fold, generation: int) -> None:
        self.fold = fold
        self.generation = generation
        self.version = -1
        self.used_at = time.monotonic()


class Past:
    """The read models' tables as of ``position``, while it is lent; any thread may read them."""

    def __init__(self, fold: Fold) -> None:
        self._fold = fold
        self.position = fold.position

    def reading(self) -> AbstractContextManager[Any]:
        """A read-only connection on the tables, as ``EventLog.reading`` is one on the present."""
        return self._fold.reading()


class Travel:
    """Lends past states; any thread may ask. At most four are lent at the same time."""

    def __init__(
        self,
        log: EventLog,
        snapshots: Snapshots,
        install: Callable[[ReplayBus], Collection[str]],
        patterns: Sequence[Pattern],
    ) -> None:
        """As for the keeper, whose ``snapshots`` these are."""
        self._log = log
        self._snapshots = snapshots
        self._install = install
        self._patterns = patterns
        self._free = threading.BoundedSemaphore(_MOST_LENT)
        self._lock = threading.Lock()  # guards the two below
        self._idle: list[_Scratch] = []
        self._is_closed = False

    def floor(self) -> int:
        """The first position that can be told; before it, something was removed."""
        with self._log.reading() as conn:
            return newest_gone(conn, self._patterns)

    @contextmanager
    def at(self, position: int) -> Iterator[Past]:
        """The state when the log ended at ``position``, of all deliveries that have succeeded.

        Raises TravelTooEarlyError, TravelNotReadyError, TravelError and the log's errors.
        """
        if not self._free.acquire(timeout=_WAIT_S):
            raise TravelNotReadyError("too many past times are being looked at; try again")
        try:
            scratch = self._put(min(position, self._log.last_sequence))
            try:
                yield Past(scratch.fold)
            finally:
                self._give_back(scratch)
        finally:
            self._free.release()

    def tidy(self) -> None:
        """Remove what nobody has asked for in a while."""
        until = time.monotonic() - _IDLE_S
        with self._lock:
            old = [one for one in self._idle if one.used_at < until]
            self._idle = [one for one in self._idle if one.used_at >= until]
        for scratch in old:
            scratch.fold.remove()

    def close(self) -> None:
        """Remove what is not lent now; what is goes when it comes back."""
        with self._lock:
            self._is_closed = True
            idle, self._idle = self._idle, []
        for scratch in idle:
            scratch.fold.remove()

    def _put(self, position: int) -> _Scratch:
        for left in reversed(range(_TRIES)):
            scratch = self._borrow(position)
            try:
                scratch = self._near(scratch, position)
                self._replay(scratch, position)
                return scratch
            except TROUBLES as error:
                if scratch is not None:
                    scratch.fold.remove()
                if not left:
                    raise
                logger.warning("a snapshot before #%d cannot be used: %s", position, error)
                self._snapshots.drop_damaged(position)
            except BaseException:
                if scratch is not None:
                    self._give_back(scratch)
                raise
        raise AssertionError("unreachable")

    def _near(self, scratch: _Scratch | None, position: int) -> _Scratch:
        """A fold from which only few events are to be handled."""
        mark = self._snapshots.before(position)
        at = None if scratch is None else scratch.fold.position
        if scratch is not None and at is not None:
            if mark is None or mark.position <= at or position - at <= _FEW:
                return scratch
            start = self._snapshots.start
            if start is not None and start <= at and mark.position - at <= _FAR:
                self._snapshots.advance(scratch.fold, mark.position)
                scratch.version = -1
                return scratch
        generation = self._snapshots.generation
        if mark is not None:
            fresh = _Scratch(self._snapshots.restore(mark.position), generation)
        else:
            self._refuse_far(0, position)
            fresh = _Scratch(self._origin(), generation)
        if scratch is not None:
            self._give_back(scratch)
        return fresh

    def _origin(self) -> Fold:
        with self._log.removing(_WAIT_S) as is_mine:
            if not is_mine:
                raise TravelNotReadyError("the log is being folded for something else; try again")
            try:
                return begin_fold(self._log)
            except RebuildError as error:
                raise TravelError(str(error)) from error

    def _refuse_far(self, start: int, position: int) -> None:
        if position - start > MOST_REPLAYED:
            done = self._snapshots.position or 0
            raise TravelNotReadyError(
                f"the past is being prepared: done up to #{done} of #{self._log.last_sequence}; "
                "try again in a while"
            )

    def _replay(self, scratch: _Scratch, position: int) -> None:
        version = self._log.version
        if scratch.fold.position == position and scratch.version == version:
            return
        with self._log.reading() as conn:  # nothing is removed from what this sees
            floor = newest_gone(conn, self._patterns)
            if position < floor or scratch.fold.position > position:
                raise TravelTooEarlyError(
                    f"the state at #{position} is not kept: retention has removed events up to "
                    f"#{max(floor, scratch.fold.position)}", max(floor, scratch.fold.position),
                )  # fmt: skip
            if scratch.fold.position < floor:  # the baseline has what is gone, at its position
                raise TravelNotReadyError("the past is being prepared anew; try again in a while")
            self._refuse_far(scratch.fold.position, position)
            bus = ReplayBus(self._log, fold=scratch.fold)
            try:
                self._install(bus)
                bus.fold(conn, position)
            finally:
                bus.close()
        scratch.version = version

    def _borrow(self, position: int) -> _Scratch | None:
        """The kept one that is nearest before ``position``, none from before what is gone."""
        floor = self.floor()
        with self._lock:
            now = self._snapshots.generation
            stale = [o for o in self._idle if o.generation != now or o.fold.position < floor]
            self._idle = [one for one in self._idle if one not in stale]
            usable = [one for one in self._idle if one.fold.position <= position]
            found = max(usable, key=lambda one: one.fold.position, default=None)
            if found is not None:
                self._idle.remove(found)
        for one in stale:
            one.fold.remove()
        return found

    def _give_back(self, scratch: _Scratch) -> None:
        scratch.used_at = time.monotonic()
        with self._lock:
            self._idle.append(scratch)
            over = 1 if len(self._idle) > _MOST_LENT else 0
            gone = self._idle if self._is_closed else self._idle[:over]
            self._idle = [one for one in self._idle if one not in gone]
        for one in gone:
            one.fold.remove()
