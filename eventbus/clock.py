"""The clock: all that the bus needs to know of time, so that a test can bring its own."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import Protocol


class Timer(Protocol):
    """A call that is still to come."""

    def cancel(self) -> None: ...


class Clock(Protocol):
    """Two clocks that run side by side, and being called when one of them gets somewhere.

    ``longest_wait_s`` is after how many seconds somebody who waits for a wall-clock time has to
    look again, since people and time servers set that clock while nobody sets the monotonic one.
    """

    longest_wait_s: float

    def time_ns(self) -> int:
        """The wall clock: nanoseconds since the Unix epoch."""
        ...

    def monotonic(self) -> float:
        """Seconds since some moment; never goes back and is never set."""
        ...

    def monotonic_ns(self) -> int:
        """The same in nanoseconds."""
        ...

    def call_at(
        self, loop: asyncio.AbstractEventLoop, when_ns: int, function: Callable[[], None]
    ) -> Timer:
        """Have ``function`` called on ``loop`` once ``monotonic_ns`` has reached ``when_ns``.

        Called on that loop.
        """
        ...


class SystemClock:
    """The computer's."""

    longest_wait_s = 60.0

    # The functions themselves, not methods around them: they are on the way of every event.
    time_ns = staticmethod(time.time_ns)
    monotonic = staticmethod(time.monotonic)
    monotonic_ns = staticmethod(time.monotonic_ns)

    def call_at(
        self, loop: asyncio.AbstractEventLoop, when_ns: int, function: Callable[[], None]
    ) -> Timer:
        return loop.call_later(max(0, when_ns - time.monotonic_ns()) / 1e9, function)


SYSTEM_CLOCK = SystemClock()
