"""Waiting for something to become true, with a limit; never a fixed pause."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")
_POLL_S = 0.02


def wait_until(condition: Callable[[], T], what: str, timeout_s: float = 20.0) -> T:
    """The first true value of ``condition``; AssertionError naming ``what`` if none comes."""
    deadline = time.monotonic() + timeout_s
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > deadline:
            raise AssertionError(f"after {timeout_s:g} s still not: {what} (last seen: {value!r})")
        time.sleep(_POLL_S)


def within(limit_s: float) -> float:
    """``limit_s`` for a test to hold what it measures against: on a machine where several processes
    want each processor it is that many times as long."""
    waiting = os.getloadavg()[0] / (os.cpu_count() or 1)
    return limit_s * max(1.0, waiting)
