"""At most so many a second, with a burst of as many: a token bucket."""

from __future__ import annotations

import math


class RateCap:
    """Belongs to whoever holds the lock around it."""

    def __init__(self, per_s: float) -> None:
        """``per_s`` is both the rate and the burst. Raises ValueError unless it is above 0."""
        if not per_s > 0 or not math.isfinite(per_s):
            raise ValueError(f"a rate must be a number above 0 a second, not {per_s!r}")
        self._per_s = per_s
        self._most = max(1.0, per_s)
        self._tokens = self._most
        self._last_s: float | None = None

    def take(self, now_s: float) -> bool:
        """Whether one more may pass at ``now_s`` (monotonic seconds)."""
        if self._last_s is not None:
            passed_s = max(0.0, now_s - self._last_s)
            self._tokens = min(self._most, self._tokens + passed_s * self._per_s)
        self._last_s = now_s
        if self._tokens < 1.0:
            return False
        self._tokens -= 1.0
        return True
