"""The due queue: what has to be done later, in memory, with one timer for all of it."""

from __future__ import annotations

import asyncio
import heapq
import itertools
from collections.abc import Callable
from typing import Any

from eventbus.clock import Clock, Timer

Entry = tuple[int, int, Callable[[Any], None], Any]


class DueQueue:
    """Calls functions when they are due; used on ``loop`` alone.

    Due times are wall-clock times, as they stand in the database. From the moment at which one is
    added it is waited for by the monotonic clock, which nobody sets.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop, clock: Clock) -> None:
        self._loop = loop
        self._clock = clock
        self._heap: list[Entry] = []  # by monotonic nanoseconds, then in the order of adding
        self._tie = itertools.count()
        self._timer: Timer | None = None

    def add(self, due_us: int, longest_s: float, call: Callable[[Any], None], item: Any) -> None:
        """Have ``call(item)`` called at ``due_us`` (microseconds since the epoch).

        It never waits longer than ``longest_s`` seconds, should the wall clock have been set back
        since the due time was written.
        """
        clock = self._clock
        delay_ns = int(min(max(0, due_us * 1_000 - clock.time_ns()), longest_s * 1e9))
        entry = (clock.monotonic_ns() + delay_ns, next(self._tie), call, item)
        heapq.heappush(self._heap, entry)
        if self._heap[0] is entry:
            self._set_timer()

    def items(self, call: Callable[[Any], None]) -> list[Any]:
        """What ``call`` will be called with, in no order."""
        return [item for _, _, known, item in self._heap if known == call]

    def close(self) -> None:
        """Call nothing any more."""
        self._heap.clear()
        self._set_timer()

    def _set_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._heap:
            self._timer = self._clock.call_at(self._loop, self._heap[0][0], self._call_due)

    def _call_due(self) -> None:
        now_ns = self._clock.monotonic_ns()
        try:
            while self._heap and self._heap[0][0] <= now_ns:
                _, _, call, item = heapq.heappop(self._heap)
                call(item)
        finally:
            self._set_timer()
