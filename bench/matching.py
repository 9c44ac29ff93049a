"""Finding the subscriptions of a type: among 10,000 patterns against among 10."""

from __future__ import annotations

import time

from bench.report import Figure, median_of
from eventbus.patterns import Pattern, PatternIndex

_LOOKUPS = 200_000


def _lookups_per_s(patterns: int) -> float:
    index: PatternIndex[int] = PatternIndex()
    for number in range(patterns):
        text = (f"a{number}.b.*", f"a{number}.+.c", f"#.z{number}", f"a{number}.b.c")[number % 4]
        index.add(Pattern(text), number)
    types = [f"a{number}.b.c" for number in range(1_000)]
    for name in types:
        index.match(name)
    started = time.perf_counter()
    for _ in range(_LOOKUPS // len(types)):
        for name in types:
            index.match(name)
    return _LOOKUPS / (time.perf_counter() - started)


def figures(rounds: int) -> list[Figure]:
    """The budget: at most 1.2 times the cost among 10, at least a million a second."""
    few = median_of(lambda: _lookups_per_s(10), rounds)
    many = median_of(lambda: _lookups_per_s(10_000), rounds)
    return [
        Figure(
            "look-up among 10,000 patterns", f"{many:,.0f}/s", f"among 10: {few:,.0f}/s",
            f"{few / many:.2f} × the cost", "≤ 1.2 ×, ≥ 1 M/s", few / many <= 1.2 and many >= 1e6,
        )
    ]  # fmt: skip
