"""What a soak has to show: no hole, no error, nothing lost, memory that stays where it was."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from app.demo.messages import Books
from bench.soak.watch import Logged, Reading

SETTLED_S = 300.0
"""Memory is compared with this moment, or with a third of a shorter run."""
_LAG_S = 10.0  # of events at the run's rate: so far may a subscription be behind at any look


@dataclass(frozen=True, slots=True)
class Bounds:
    """``growth_mib`` from when it has settled to the end, ``rss_mib`` at any time."""

    growth_mib: float
    rss_mib: float
    rate: float


def settled(readings: Sequence[Reading]) -> Reading | None:
    """The look that the end is compared with."""
    if not readings:
        return None
    from_s = min(SETTLED_S, readings[-1].at_s / 3)
    return next(reading for reading in readings if reading.at_s >= from_s)


def memory_problems(readings: Sequence[Reading], bounds: Bounds) -> list[str]:
    """Growth and size above the bounds; the second half may grow by half as much."""
    first = settled(readings)
    if first is None:
        return ["the server was never looked at"]
    problems = []
    half = next(reading for reading in readings if reading.at_s >= readings[-1].at_s / 2)
    # The median of the last looks: one of them may fall into a checkpoint.
    last = sorted(reading.rss_mib for reading in readings[-5:])
    for since, most_mib in ((first, bounds.growth_mib), (half, bounds.growth_mib / 2)):
        growth = last[len(last) // 2] - since.rss_mib
        if growth > most_mib:
            problems.append(
                f"memory grew by {growth:.0f} MiB from {since.at_s:.0f} s to the end, "
                f"more than {most_mib:.0f}"
            )
    most = max(reading.rss_mib for reading in readings)
    if most > bounds.rss_mib:
        problems.append(f"memory reached {most:.0f} MiB, more than {bounds.rss_mib:.0f}")
    return problems


def lag_problems(readings: Sequence[Reading], bounds: Bounds) -> list[str]:
    """Subscriptions that were more than ten seconds behind."""
    worst = max(readings, key=lambda reading: reading.lag, default=None)
    if worst is None or worst.lag <= bounds.rate * _LAG_S:
        return []
    return [f"a subscription was {worst.lag:,} events behind at {worst.at_s:.0f} s: {worst.lags}"]


def count_problems(
    books: Books, poisoned: int, counters: Mapping[str, int], dead: int, written: Logged
) -> list[str]:
    """Where the server's counters differ from what the producer knows that it said."""
    expected = {
        "completed": books.completed, "failed": books.failed, "exhausted": books.exhausted,
        "dead_letters": poisoned,
    }  # fmt: skip
    problems = [
        f"the counter {name} is {counters.get(name)}, the producer knows of {value}"
        for name, value in expected.items()
        if counters.get(name) != value
    ]
    if dead != poisoned:
        problems.append(f"{dead} dead letters, not {poisoned}")
    if written.errors:
        problems.append(f"{written.errors} errors in the server's log: {written.lines}")
    return problems
