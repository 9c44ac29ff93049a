"""One measured figure beside its peer and its budget, and a table of them."""

from __future__ import annotations

import os
import platform
import sqlite3
import statistics
from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Figure:
    """A median, what it is compared with, and whether the budget of the design is met."""

    what: str
    value: str
    peer: str
    ratio: str
    budget: str
    is_met: bool


def median_of(measure: Callable[[], float], rounds: int) -> float:
    """The median of ``rounds`` measurements."""
    return statistics.median(measure() for _ in range(rounds))


def table(figures: list[Figure]) -> str:
    """The figures as a Markdown table."""
    lines = ["| what | measured | beside | ratio | budget | met |", "|---|---|---|---|---|---|"]
    lines += [
        f"| {f.what} | {f.value} | {f.peer} | {f.ratio} | {f.budget} | "
        f"{'yes' if f.is_met else 'no'} |"
        for f in figures
    ]
    return "\n".join(lines)


def machine() -> str:
    """What it ran on."""
    return (
        f"{os.cpu_count()} cores, {platform.system()} {platform.machine()}, "
        f"Python {platform.python_version()}, SQLite {sqlite3.sqlite_version}"
    )
