"""A steady rate: how many events are due by now, without drift."""

from __future__ import annotations

import math

TICK_S = 0.01  # above 100 events/s several are sent at once: waking up has its price
_FORGIVEN_S = 1.0


class Pace:
    """A schedule of ``rate`` events a second from ``started_s`` on; the first one is due then.

    Being late is made up for at once, so the average stays exact; but what was missed in more
    than a second (a suspended machine) is not made up for in a flood, it is left out. Times are
    of a monotonic clock, in seconds.
    """

    def __init__(self, rate: float, started_s: float) -> None:
        self._rate = rate
        self._started_s = started_s
        self._taken = 0

    def take(self, now_s: float) -> int:
        """How many events are due and not taken yet; takes them."""
        due = math.floor((now_s - self._started_s) * self._rate + 1e-6) + 1 - self._taken
        most = max(1, math.ceil(self._rate * _FORGIVEN_S))
        if due > most:
            self._started_s += (due - most) / self._rate
            due = most
        due = max(0, due)
        self._taken += due
        return due

    def wait_s(self, now_s: float) -> float:
        """How long to wait before the next ``take``."""
        next_s = self._started_s + self._taken / self._rate
        return max(0.0, next_s - now_s, TICK_S if self._rate * TICK_S > 1 else 0.0)
