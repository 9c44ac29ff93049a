"""Percentiles of a few hundred values."""

from __future__ import annotations

from collections.abc import Sequence
from math import ceil


def percentile(values: Sequence[float], part: float) -> float | None:
    """The nearest-rank percentile, ``part`` from 0 to 1; None of no values."""
    if not values:
        return None
    return sorted(values)[max(0, ceil(part * len(values)) - 1)]
