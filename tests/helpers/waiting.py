"""Waiting for something to become true, with a limit; never a fixed pause."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")
_POLL_S = 0.02


def wait_until(condition: Callable[[], T], what: str, timeout_s: float = 10.0) -> T:
    """The first true value of ``condition``; AssertionError naming ``what`` if none comes."""
    deadline = time.monotonic() + timeout_s
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > deadline:
            raise AssertionError(f"after {timeout_s:g} s still not: {what} (last seen: {value!r})")
        time.sleep(_POLL_S)
