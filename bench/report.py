"""Medians of interleaved measurements, and figures beside their peer and budget as one table."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Sample:
    """The measurements of one thing: events per second, milliseconds, MiB."""

    values: tuple[float, ...]

    @property
    def median(self) -> float:
        return statistics.median(self.values)

    def shown(self, unit: str, digits: int = 0) -> str:
        """The median with its unit, and the least and the most when there were several."""
        text = f"{self.median:,.{digits}f}{unit}"
        if len(self.values) > 1:
            text += f" ({min(self.values):,.{digits}f}–{max(self.values):,.{digits}f})"
        return text


@dataclass(frozen=True, slots=True)
class Figure:
    """What was measured, what it is compared with, and whether the budget of the design is met.

    ``is_met`` is None for what has no budget and stands there for comparison.
    """

    what: str
    value: str
    peer: str = "—"
    ratio: str = "—"
    budget: str = "—"
    is_met: bool | None = None


def interleaved(measures: Mapping[str, Callable[[], float]], rounds: int) -> dict[str, Sample]:
    """Measure each ``rounds`` times: A B, B A, A B …, so that drift of the machine hits all."""
    values: dict[str, list[float]] = {name: [] for name in measures}
    for number in range(rounds):
        names = list(measures) if number % 2 == 0 else list(measures)[::-1]
        for name in names:
            values[name].append(measures[name]())
    return {name: Sample(tuple(found)) for name, found in values.items()}


def table(figures: list[Figure]) -> str:
    """The figures as a Markdown table."""
    lines = ["| what | measured | beside | ratio | budget | met |", "|---|---|---|---|---|---|"]
    lines += [
        f"| {f.what} | {f.value} | {f.peer} | {f.ratio} | {f.budget} | {_mark(f.is_met)} |"
        for f in figures
    ]
    return "\n".join(lines)


def _mark(is_met: bool | None) -> str:
    if is_met is None:
        return ""
    return "yes" if is_met else "**no**"
