"""The last five minutes in steps of five seconds: rate by family, what ran, how long it took."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from app.live.traffic import STEP_S, STEPS, Counts, Traffic, by_family, total
from handlers.percentile import percentile

if TYPE_CHECKING:
    from eventbus.log import EventLog
    from handlers import Handlers
    from handlers.evaluation.evaluations import Completion

Percentiles = tuple[float | None, float | None]

MOST_FAMILIES = 6
OTHERS = "others"
# A percentile of fewer seconds than these would be one of one or two values.
_DURATION_STEPS = 12
MOST_DURATIONS = 1_000
"""Completed ones that are looked at for it, newest first: as many as end in a step of a flood."""
_LEAVES_ACTIVE = ("evaluation.completed", "evaluation.failed", "evaluation.cancelled")


@dataclass(frozen=True, slots=True)
class FamilyRate:
    """Events per second of a family in each step, the oldest step first."""

    family: str
    values: Sequence[float]


@dataclass(frozen=True, slots=True)
class Trend:
    """What the charts show; every series has a value for each step, None where none is known.

    ``families`` come by their sum, the largest first; ``active`` counts evaluations, ``p50_s`` and
    ``p95_s`` are seconds that evaluations took which completed in the minute before.
    """

    families: Sequence[FamilyRate]
    active: Sequence[int | None]
    p50_s: Sequence[float | None]
    p95_s: Sequence[float | None]

    @property
    def most_per_s(self) -> float:
        """The highest rate of all families together."""
        sums = [
            sum(values) for values in zip(*(each.values for each in self.families), strict=True)
        ]
        return max(sums, default=0.0)


class Trends:
    """Looks once a step; what it knows is bounded by STEPS. ``_lock`` guards it.

    ``fill`` reads the log once for what happened before this process listened.
    """

    def __init__(
        self,
        log: EventLog,
        handlers: Handlers,
        traffic: Traffic,
        clock: Callable[[], float] = time.time,
    ) -> None:
        """``clock`` gives Unix seconds."""
        self._log = log
        self._handlers = handlers
        self._traffic = traffic
        self._clock = clock
        self._lock = threading.Lock()
        self._active: dict[int, int] = {}
        self._percentiles: dict[int, Percentiles] = {}
        self._shown: tuple[int, Trend] | None = None

    def fill(self) -> None:
        """Give the traffic the steps that only the log knows; counts from its indexes alone."""
        last = int(self._clock()) // STEP_S
        upto = self._traffic.opened_at
        self._traffic.fill_steps(counted(self._log, range(last - STEPS, last + 1), upto))
        with self._lock:
            self._shown = None

    def now(self) -> Trend:
        """The trend up to the last whole step."""
        step = int(self._clock()) // STEP_S - 1
        with self._lock:
            if self._shown is None or self._shown[0] != step:
                self._shown = step, self._look(step)
            return self._shown[1]

    def _look(self, last: int) -> Trend:
        steps = range(last - STEPS + 1, last + 1)
        counts = self._traffic.steps()
        self._active[last] = self._handlers.counters()["active"]
        self._measure(steps)
        for known in (self._active, self._percentiles):
            for old in [step for step in known if step not in steps]:
                del known[old]  # type: ignore[attr-defined]
        return trend_of(steps, counts, self._active, self._percentiles)

    def _measure(self, steps: range) -> None:
        """The percentiles of the steps that were not measured yet."""
        missing = [step for step in steps if step not in self._percentiles]
        if not missing:
            return
        ended = self._handlers.evaluations.lately_completed(MOST_DURATIONS)
        for step in missing:
            self._percentiles[step] = percentiles(ended, step)


def counted(log: EventLog, steps: range, upto: int) -> dict[int, Counts]:
    """What the log says of each step, as far as the sequence ``upto``; from its indexes alone."""

    def newest_before(step: int) -> int:
        return log.newest_before(datetime.fromtimestamp(step * STEP_S, UTC))

    found: dict[int, Counts] = {}
    before = min(upto, newest_before(steps.start))
    for step in steps:
        reached = max(before, min(upto, newest_before(step + 1)))
        if reached > before:
            found[step] = {seen.type: seen.count for seen in log.counts(before, reached)}
        before = reached
    return found


def percentiles(ended: Sequence[Completion], step: int) -> Percentiles:
    """p50 and p95 of those that ended in the minute before the step's end, in seconds."""
    end = (step + 1) * STEP_S
    start = end - _DURATION_STEPS * STEP_S
    took = [each.duration_s for each in ended if start < each.at.timestamp() <= end]
    return percentile(took, 0.5), percentile(took, 0.95)


def trend_of(
    steps: range,
    counts: Mapping[int, Counts],
    active: Mapping[int, int],
    durations: Mapping[int, Percentiles],
) -> Trend:
    """The trend of ``steps``; how many were ``active`` need be known of some of them only."""
    return Trend(
        _family_rates([by_family(counts.get(step, {})) for step in steps]),
        _filled_back(active, counts, steps),
        [durations[step][0] for step in steps],
        [durations[step][1] for step in steps],
    )


def _filled_back(
    known: Mapping[int, int], counts: Mapping[int, Counts], steps: range
) -> list[int | None]:
    """How many were active at the end of each step; what nobody saw follows from what came after:
    who started since was not active before, who ended since was."""
    found: list[int | None] = []
    after = 0
    for step in reversed(steps):
        if step in known:
            after = known[step]
        found.append(max(0, after))
        of_step = counts.get(step, {})
        left = sum(of_step.get(type, 0) for type in _LEAVES_ACTIVE)
        after = max(0, after - of_step.get("evaluation.started", 0) + left)
    found.reverse()
    return found


def _family_rates(steps: Sequence[Counts]) -> list[FamilyRate]:
    sums = total(steps)
    ranked = sorted(sums, key=lambda family: (-sums[family], family))
    named, rest = ranked[:MOST_FAMILIES], set(ranked[MOST_FAMILIES:])
    rates = [FamilyRate(name, [counts.get(name, 0) / STEP_S for counts in steps]) for name in named]
    if rest:
        others = [sum(counts.get(name, 0) for name in rest) / STEP_S for counts in steps]
        rates.append(FamilyRate(OTHERS, others))
    return rates
