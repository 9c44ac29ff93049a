"""What was measured of one evaluation: its metrics over time, and the tokens that it took."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from app.pages.chart import line
from eventbus import Event
from handlers.evaluation import Evaluation

_MOST_METRICS = 50


@dataclass(frozen=True, slots=True)
class Measure:
    """One metric: its last value, how many were told, and their line for a small chart."""

    name: str
    value: float
    unit: str
    count: int
    path: str


def measures(events: Sequence[Event]) -> list[Measure]:
    """The metrics that these events (the newest first) recorded, by name."""
    found: dict[str, list[tuple[float, str]]] = {}
    for event in reversed(events):
        if not event.type.startswith("monitoring.metric."):
            continue
        name, value, unit = _sample(event)
        if value is not None:
            found.setdefault(name, []).append((value, unit))
    return [
        Measure(name, samples[-1][0], samples[-1][1], len(samples), _line(samples))
        for name, samples in sorted(found.items())[:_MOST_METRICS]
    ]


def tokens(evaluation: Evaluation) -> int | None:
    """The tokens that its result tells of: a number, or numbers by model; None when it does not."""
    result = evaluation.result
    told = result.get("tokens") if isinstance(result, Mapping) else None
    counts = list(told.values()) if isinstance(told, Mapping) else [told]
    if not counts or not all(type(each) is int and each >= 0 for each in counts):
        return None
    return sum(counts)


def _sample(event: Event) -> tuple[str, float | None, str]:
    data: Mapping[str, Any] = event.data
    told = data.get("value", data.get("by"))
    value = None
    if isinstance(told, int | float) and not isinstance(told, bool):
        with suppress(OverflowError):  # an integer beyond every float
            value = float(told)
    unit = data.get("unit")
    name = data.get("metric") or data.get("name")
    return str(name)[:200], value, str(unit)[:40] if unit else ""


def _line(samples: list[tuple[float, str]]) -> str:
    return line([value for value, _ in samples]) if len(samples) > 1 else ""
