"""How many requests somebody may make in a time, and counting them."""

from __future__ import annotations

import math
import re
import threading
import time
from collections import OrderedDict
from collections.abc import Hashable
from dataclasses import dataclass

MOST_KEYS = 10_000

_TEXT = re.compile(r"([0-9]{1,7})\s*/\s*([0-9]{1,5})\s*([smh])")
_UNITS = {"s": 1.0, "m": 60.0, "h": 3_600.0}


@dataclass(frozen=True, slots=True)
class RequestRate:
    """``count`` requests in ``seconds``; as many may also come at once."""

    count: int
    seconds: float

    @classmethod
    def parse(cls, text: str) -> RequestRate:
        """Read ``600/1m``. Raises ValueError."""
        match = _TEXT.fullmatch(text)
        if match is None or not int(match[1]) or not int(match[2]):
            raise ValueError(text)
        return cls(int(match[1]), int(match[2]) * _UNITS[match[3]])

    def __str__(self) -> str:
        return f"{self.count}/{self.seconds:g}s"


class RateLimiter:
    """A token bucket for each key; for any thread. The keys seen last are remembered."""

    def __init__(self, rate: RequestRate) -> None:
        self._rate = rate
        self._per_s = rate.count / rate.seconds
        self._lock = threading.Lock()  # guards _buckets
        self._buckets: OrderedDict[Hashable, tuple[float, float]] = OrderedDict()

    def take(self, key: Hashable) -> int:
        """Count one request, and give 0; or the whole seconds until there is room for it."""
        now_s = time.monotonic()
        with self._lock:
            left, since_s = self._buckets.pop(key, (float(self._rate.count), now_s))
            left = min(float(self._rate.count), left + (now_s - since_s) * self._per_s)
            is_there = left >= 1.0
            self._buckets[key] = (left - 1.0 if is_there else left, now_s)
            if len(self._buckets) > MOST_KEYS:
                self._buckets.popitem(last=False)
        return 0 if is_there else math.ceil((1.0 - left) / self._per_s)
