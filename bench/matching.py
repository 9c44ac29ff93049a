"""Finding the subscriptions of a type: among 10,000 patterns against among 10."""

from __future__ import annotations

import time
from collections.abc import Callable

from bench.options import Options
from bench.report import Figure, interleaved
from eventbus.patterns import Pattern, PatternIndex

_LOOKUPS = 200_000


def _lookups(patterns: int) -> Callable[[], float]:
    """A measurement of look-ups per second among so many patterns, of types seen before."""
    index: PatternIndex[int] = PatternIndex()
    for number in range(patterns):
        text = (f"a{number}.b.*", f"a{number}.+.c", f"#.z{number}", f"a{number}.b.c")[number % 4]
        index.add(Pattern(text), number)
    types = [f"a{number}.b.c" for number in range(1_000)]
    for name in types:
        index.match(name)

    def measure() -> float:
        started = time.perf_counter()
        for _ in range(_LOOKUPS // len(types)):
            for name in types:
                index.match(name)
        return _LOOKUPS / (time.perf_counter() - started)

    return measure


def figures(options: Options) -> list[Figure]:
    """The budget: at most 1.2 times the cost among 10, at least a million a second."""
    found = interleaved({"few": _lookups(10), "many": _lookups(10_000)}, options.rounds)
    few, many = found["few"], found["many"]
    ratio = few.median / many.median
    return [Figure(
        "look-up of a type among 10,000 patterns", many.shown("/s"), f"among 10: {few.shown('/s')}",
        f"{ratio:.2f} × the cost", "≤ 1.2 ×, ≥ 1 M/s", ratio <= 1.2 and many.median >= 1e6,
    )]  # fmt: skip
