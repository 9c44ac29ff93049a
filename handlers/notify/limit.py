"""How many notifications a channel sends in a time; what is over is summed up later."""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass

_TEXT = re.compile(r"(?P<count>[0-9]{1,4})/(?P<length>[0-9]{1,4})(?P<unit>[smh])")
_UNITS_S = {"s": 1, "m": 60, "h": 3600}


@dataclass(frozen=True, slots=True)
class RateLimit:
    """At most ``count`` notifications in any ``window_s`` seconds."""

    count: int = 20
    window_s: int = 600

    @classmethod
    def parse(cls, text: str) -> RateLimit:
        """A limit like ``20/10m``. Raises ValueError."""
        found = _TEXT.fullmatch(text)
        if found is None:
            raise ValueError(f"{text!r} is not a limit like 20/10m")
        limit = cls(int(found["count"]), int(found["length"]) * _UNITS_S[found["unit"]])
        if not 1 <= limit.count <= 1_000 or not 1 <= limit.window_s <= 86_400:
            raise ValueError("a limit is 1 to 1000 in 1 s to 24 h")
        return limit

    def __str__(self) -> str:
        for unit, size in (("h", 3600), ("m", 60)):
            if self.window_s % size == 0:
                return f"{self.count}/{self.window_s // size}{unit}"
        return f"{self.count}/{self.window_s}s"


class SendWindow:
    """When the last notifications were sent, in seconds of any clock; for one thread at a time."""

    def __init__(self, limit: RateLimit, sent: Iterable[float] = ()) -> None:
        """``sent`` are earlier times, ascending."""
        self._limit = limit
        self._sent: deque[float] = deque(sent, maxlen=limit.count)

    def free_at(self, now: float) -> float:
        """When the next one may be sent: ``now``, or later."""
        if len(self._sent) < self._limit.count:
            return now
        return max(now, self._sent[0] + self._limit.window_s)

    def take(self, now: float) -> None:
        """One is sent."""
        self._sent.append(now)
