"""Latencies of millions of frames in little memory: counts by millisecond."""

from __future__ import annotations

_MOST_MS = 60_000


class Latencies:
    """Adds by one thread; reading from another one may miss the newest."""

    def __init__(self) -> None:
        self._all = [0] * (_MOST_MS + 1)
        self._recent: dict[int, int] = {}

    def add(self, seconds: float) -> None:
        """Count one; above a minute it counts as a minute."""
        ms = min(_MOST_MS, max(0, round(seconds * 1_000)))
        self._all[ms] += 1
        self._recent[ms] = self._recent.get(ms, 0) + 1

    @property
    def count(self) -> int:
        return sum(self._all)

    def percentile_ms(self, percent: float) -> float | None:
        """Of all; None without any."""
        return _percentile({ms: n for ms, n in enumerate(self._all) if n}, percent)

    def take_recent(self) -> tuple[float | None, float | None]:
        """Median and p99 since the last call."""
        recent, self._recent = self._recent, {}
        return _percentile(recent, 50), _percentile(recent, 99)


def _percentile(counts: dict[int, int], percent: float) -> float | None:
    total = sum(counts.values())
    passed = 0
    for ms in sorted(counts):
        passed += counts[ms]
        if passed * 100 >= total * percent:
            return float(ms)
    return None
