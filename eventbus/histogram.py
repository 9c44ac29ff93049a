"""Durations counted in buckets whose bounds grow by a quarter, and percentiles read off them."""

from __future__ import annotations

import math
from bisect import bisect_left
from collections.abc import Mapping

# A tenth of a decade each, from 50 µs to 1,000 s: what is read off is right to about 12 %.
_PER_DECADE = 10
_FIRST, _LAST = 17, 90
BOUNDS_US = tuple(round(10 ** (k / _PER_DECADE)) for k in range(_FIRST, _LAST + 1))
"""Upper bounds of the buckets 0, 1, 2, ...; one more bucket has what is above the last."""


def bucket(duration_us: int) -> int:
    """The bucket of a duration in microseconds."""
    return bisect_left(BOUNDS_US, duration_us)


def percentile_ms(counts: Mapping[int, int], percent: float) -> float | None:
    """The nearest-rank percentile in milliseconds of counts by bucket; None without any."""
    total = sum(counts.values())
    if not total:
        return None
    rank = max(1, math.ceil(total * percent / 100))
    seen = 0
    for number in sorted(counts):
        seen += counts[number]
        if seen >= rank:
            return _middle_us(number) / 1_000
    return None


def _middle_us(number: int) -> float:
    # Of a bucket's bounds the geometric mean: as far off, in percent, from the one as the other.
    high = BOUNDS_US[min(number, len(BOUNDS_US) - 1)]
    low = BOUNDS_US[number - 1] if number else high / 2
    return math.sqrt(low * high) if number < len(BOUNDS_US) else float(high)
