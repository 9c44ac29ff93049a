"""Folding what will be removed into the baseline, before it is."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection
from contextlib import AbstractContextManager

from eventbus.log.baseline import open_baseline
from eventbus.log.eventlog import EventLog
from eventbus.pace import Pace
from eventbus.replay import ReplayBus

_ROUND_S = 0.2
_BETWEEN_S = 0.005  # who waits to fold the log, a rebuild, has its turn


class BaselineFold:
    """The baseline while a run of retention uses it; one thread. It is opened when first needed."""

    def __init__(
        self,
        log: EventLog,
        install: Callable[[ReplayBus], object],
        share: float,
        turn: Callable[[], AbstractContextManager[None]],
    ) -> None:
        """``turn`` is held for every round of folding."""
        self._log = log
        self._install = install
        self._share = share
        self._turn = turn
        self._bus: ReplayBus | None = None

    @property
    def position(self) -> int:
        """The sequence up to which it has the effects of what has succeeded."""
        return 0 if self._bus is None else self._bus.position

    def bring_to(self, upto: int) -> None:
        """Fold everything up to a sequence, on disk when this returns.

        Raises RebuildError when something that had succeeded fails now; then it is not folded.
        """
        if self._bus is None:
            with self._turn():
                self._fold = open_baseline(self._log)
            self._bus = ReplayBus(
                self._log, fold=self._fold, pace=Pace(self._share), is_strict=True
            )
            self._install(self._bus)
        while True:  # at least once: what has succeeded since is folded then
            with self._turn(), self._log.reading() as conn:
                self._bus.fold(conn, upto, _ROUND_S)
            if self._bus.position >= upto:
                return
            time.sleep(_BETWEEN_S)

    def holes(self, sequences: Collection[int]) -> set[tuple[int, int]]:
        """The deliveries of these events whose effects it does not have."""
        return self._fold.holes(sequences)

    def close(self) -> None:
        if self._bus is not None:
            self._bus.close()
            self._fold.close()
