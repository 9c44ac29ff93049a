"""Values counted in fixed buckets where they happen, so cheaply that nobody need switch it off."""

from __future__ import annotations

from bisect import bisect_left
from dataclasses import dataclass
from itertools import accumulate

DURATIONS_US = (
    250, 500, 1_000, 2_500, 5_000, 10_000, 25_000, 50_000, 100_000, 250_000, 500_000,
    1_000_000, 2_500_000, 5_000_000, 10_000_000, 30_000_000, 60_000_000,
)  # fmt: skip
"""Bounds for what takes from a commit's time to a handler's longest, in microseconds."""
SIZES = (0, 1, 2, 5, 10, 25, 50, 100, 250, 500, 1_000, 2_000)
"""Bounds for how many events one commit records."""


@dataclass(frozen=True, slots=True)
class Counted:
    """What was counted so far: for each bound how many values are not above it, all, their sum."""

    bounds: tuple[int, ...]
    cumulative: tuple[int, ...]
    count: int
    sum: int


class Buckets:
    """Written by one thread at a time, read by any; about 0.1 µs a value.

    A value on a bound belongs to that bound's bucket, as Prometheus' ``le`` has it.
    """

    __slots__ = ("_bounds", "_counts", "_sum")

    def __init__(self, bounds: tuple[int, ...]) -> None:
        """``bounds`` are upper bounds, ascending; one more bucket has what is above the last."""
        self._bounds = bounds
        self._counts = [0] * (len(bounds) + 1)
        self._sum = 0

    def count(self, value: int) -> None:
        """Add one value."""
        self._counts[bisect_left(self._bounds, value)] += 1
        self._sum += value

    def counted(self) -> Counted:
        """Everything up to now; while somebody counts, the sum may be a value ahead or behind."""
        counts = self._counts.copy()
        *below, total = accumulate(counts)
        return Counted(self._bounds, tuple(below), total, self._sum)
