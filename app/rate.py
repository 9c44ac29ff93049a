"""How many events come in per second, over the last few seconds."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence

WINDOW_S = 10


class RateMeter:
    """Counts recorded events per second of a clock that never jumps; ``_lock`` guards the ring.

    ``count`` is made to be a listener of the log; ``per_second`` may be called by any thread.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        """``clock`` gives seconds from any beginning."""
        self._clock = clock
        self._lock = threading.Lock()
        self._counts = [0] * WINDOW_S
        self._second = int(clock())
        self._started = self._second

    def count(self, events: Sequence[object]) -> None:
        """Add what was just recorded."""
        with self._lock:
            self._turn()
            self._counts[self._second % WINDOW_S] += len(events)

    def per_second(self) -> float:
        """The mean over the last whole seconds (at most ``WINDOW_S - 1``), to one decimal."""
        with self._lock:
            self._turn()
            whole = min(WINDOW_S - 1, self._second - self._started)
            if whole == 0:
                return float(self._counts[self._second % WINDOW_S])
            total = sum(self._counts) - self._counts[self._second % WINDOW_S]
        return round(total / whole, 1)

    def _turn(self) -> None:
        now = int(self._clock())
        for second in range(self._second + 1, min(now, self._second + WINDOW_S) + 1):
            self._counts[second % WINDOW_S] = 0
        self._second = max(now, self._second)
