"""The geometry of small charts: numbers become coordinates of an SVG, which the browser scales."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

WIDTH = 100.0
HEIGHT = 24.0
# A value that is not zero stays visible beside a much larger one.
_LEAST_HEIGHT = 1.5


@dataclass(frozen=True, slots=True)
class Bar:
    """One column, in units of the view box; ``value`` is what it stands for."""

    x: float
    y: float
    width: float
    height: float
    value: float


def bars(values: Sequence[float], most: float | None = None, gap: float = 0.2) -> list[Bar]:
    """Columns from left to right on a view box of WIDTH by HEIGHT.

    ``most`` is the value of a full column (the largest of ``values`` when not given), ``gap`` the
    share of a column's room that stays empty.
    """
    if not values:
        return []
    top = most or max(values)
    room = WIDTH / len(values)
    columns = []
    for place, value in enumerate(values):
        tall = 0.0
        if value > 0 and top > 0:
            tall = max(min(value / top, 1.0) * HEIGHT, _LEAST_HEIGHT)
        columns.append(
            Bar(
                x=round(place * room + room * gap / 2, 2),
                y=round(HEIGHT - tall, 2),
                width=round(room * (1 - gap), 2),
                height=round(tall, 2),
                value=value,
            )
        )
    return columns


def line(values: Sequence[float | None], most: float | None = None) -> str:
    """The ``d`` of a path through the values, left to right; None leaves a gap in the line."""
    known = [value for value in values if value is not None]
    if not known:
        return ""
    top = most or max(known) or 1.0
    step = WIDTH / max(len(values) - 1, 1)
    parts: list[str] = []
    is_drawing = False
    for place, value in enumerate(values):
        if value is None:
            is_drawing = False
            continue
        # Half a unit off both edges, so that the stroke is not cut in half there.
        y = HEIGHT - 0.5 - min(max(value, 0.0) / top, 1.0) * (HEIGHT - 1)
        parts.append(f"{'L' if is_drawing else 'M'}{place * step:.2f} {y:.2f}")
        is_drawing = True
    return "".join(parts)


def stacked(series: Sequence[Sequence[float]], most: float | None = None) -> list[str]:
    """The ``d`` of a closed path for each series, every one standing on those before it.

    All have the same length, of at least two; ``most`` is the sum at full height (the largest when
    not given). A series of nothing but zeros has no path.
    """
    if not series:
        return []
    sums = [sum(values) for values in zip(*series, strict=True)]
    top = most or max(sums) or 1.0
    step = WIDTH / max(len(sums) - 1, 1)
    floor = [0.0] * len(sums)
    paths = []
    for values in series:
        roof = [low + max(value, 0.0) for low, value in zip(floor, values, strict=True)]
        there = [f"{i * step:.2f} {_up(value / top)}" for i, value in enumerate(roof)]
        back = [f"{i * step:.2f} {_up(value / top)}" for i, value in enumerate(floor)]
        paths.append(f"M{'L'.join(there)}L{'L'.join(reversed(back))}Z" if any(values) else "")
        floor = roof
    return paths


def _up(share: float) -> str:
    return f"{HEIGHT - min(share, 1.0) * HEIGHT:.2f}"
