"""A clock that stands still until a test moves it, and then runs what has become due."""

from __future__ import annotations

import asyncio
import heapq
import itertools
import math
import threading
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from eventbus.clock import Timer
from eventbus.log.commit import call_soon
from eventbus.timestamps import EPOCH

if TYPE_CHECKING:
    from eventbus.bus import EventBus

DEFAULT_START = datetime(2026, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)


class FakeClock:
    """``EventBus(log, clock=FakeClock())``: retries, schedules and time-outs wait for ``advance``.

    May be used from any thread; ``_lock`` guards all of it.
    """

    def __init__(
        self, start: datetime = DEFAULT_START, *, longest_wait_s: float = float("inf")
    ) -> None:
        """``start`` is an aware datetime. ``longest_wait_s`` is the one of ``Clock``."""
        self.longest_wait_s = longest_wait_s
        self._lock = threading.Lock()
        self._wall_ns = (start - EPOCH) // _MICROSECOND * 1_000  # at the monotonic clock's zero
        self._elapsed_ns = 0
        self._timers: list[tuple[int, int, _FakeTimer]] = []
        self._tie = itertools.count()
        self._buses: list[EventBus] = []

    # -- what the bus asks -------------------------------------------------------------------

    def time_ns(self) -> int:
        return self._wall_ns + self._elapsed_ns

    def monotonic(self) -> float:
        return self._elapsed_ns / 1e9

    def monotonic_ns(self) -> int:
        return self._elapsed_ns

    def call_at(
        self, loop: asyncio.AbstractEventLoop, when_ns: int, function: Callable[[], None]
    ) -> Timer:
        timer = _FakeTimer(loop, function)
        with self._lock:
            if when_ns > self._elapsed_ns:
                heapq.heappush(self._timers, (when_ns, next(self._tie), timer))
                return timer
        timer.fire()
        return timer

    # -- what the test does ------------------------------------------------------------------

    @property
    def now(self) -> datetime:
        """The wall clock's time, in UTC."""
        return EPOCH + timedelta(microseconds=self.time_ns() // 1_000)

    def attach(self, bus: EventBus) -> None:
        """Have ``advance`` wait for this bus at every step."""
        self._buses.append(bus)

    def detach(self, bus: EventBus) -> None:
        """The bus is closed."""
        self._buses = [known for known in self._buses if known is not bus]

    def advance(self, by: float | timedelta, *, patience: float = 1.0) -> None:
        """Move both clocks on by seconds, stopping at each moment at which something is due.

        At every stop the attached buses do all that there is to do, so that a retry that fails
        again and is due within this time is also run, in its turn. A handler that still runs after
        ``patience`` seconds of real time is overtaken by the clock. Not to be called by a handler.
        """
        step_ns = _nanoseconds(by)
        if step_ns < 0:
            raise ValueError(f"a clock can only be moved on, not by {by!r}; see set_wall_clock")
        target_ns = self._elapsed_ns + step_ns
        self._settle(patience)
        while (timer := self._next(target_ns)) is not None:
            timer.fire()
            self._settle(patience)
        with self._lock:
            self._elapsed_ns = max(self._elapsed_ns, target_ns)
        self._settle(patience)

    def set_wall_clock(self, to: datetime) -> None:
        """Set the wall clock alone, forwards or backwards, as people and time servers do."""
        with self._lock:
            self._wall_ns = (to - EPOCH) // _MICROSECOND * 1_000 - self._elapsed_ns

    def _next(self, target_ns: int) -> _FakeTimer | None:
        """The next timer up to the target, with the clock moved to its time."""
        with self._lock:
            while self._timers and self._timers[0][0] <= target_ns:
                when_ns, _, timer = heapq.heappop(self._timers)
                if timer.is_waiting:
                    self._elapsed_ns = max(self._elapsed_ns, when_ns)
                    return timer
        return None

    def _settle(self, patience_s: float) -> None:
        for bus in self._buses:
            bus.drain(patience_s)


class _FakeTimer:
    def __init__(self, loop: asyncio.AbstractEventLoop, function: Callable[[], None]) -> None:
        self._loop = loop
        self._function = function
        self.is_waiting = True

    def cancel(self) -> None:
        self.is_waiting = False

    def fire(self) -> None:
        call_soon(self._loop, self._run)

    def _run(self) -> None:
        if self.is_waiting:
            self.is_waiting = False
            self._function()


def _nanoseconds(by: float | timedelta) -> int:
    if isinstance(by, timedelta):
        return by // _MICROSECOND * 1_000
    if isinstance(by, bool) or not isinstance(by, int | float) or not math.isfinite(by):
        raise ValueError(f"a clock is moved by a number of seconds or a timedelta, not {by!r}")
    return round(by * 1e6) * 1_000
