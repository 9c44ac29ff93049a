"""The trends as the geometry of three small charts, and as the words that say the same."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from app.live.traffic import STEP_S, STEPS
from app.live.trends import OTHERS, Trend
from app.pages.chart import line, stacked
from app.pages.look import family_hue

SPAN_S = STEPS * STEP_S


@dataclass(frozen=True, slots=True)
class FamilyArea:
    """A family's band in the chart of rates."""

    family: str
    hue: str
    path: str


@dataclass(frozen=True, slots=True)
class TrendChart:
    """Paths, and the numbers that stand beside them; None where there is nothing to say."""

    areas: Sequence[FamilyArea]
    most_per_s: float
    active_area: str
    active_line: str
    active_now: int
    active_most: int
    p50: str
    p95: str
    p50_s: float | None
    p95_s: float | None


def trend_chart(trend: Trend) -> TrendChart:
    """The charts of a trend."""
    bands = stacked([each.values for each in trend.families])
    active = [value or 0 for value in trend.active]
    longest = max((value for value in trend.p95_s if value is not None), default=None)
    return TrendChart(
        [
            FamilyArea(each.family, "grey" if each.family == OTHERS else family_hue(each.family), d)
            for each, d in zip(trend.families, bands, strict=True)
        ],
        trend.most_per_s,
        stacked([active])[0],
        line(active),
        active[-1],
        max(active),
        line(trend.p50_s, longest),
        line(trend.p95_s, longest),
        _last(trend.p50_s),
        _last(trend.p95_s),
    )


def _last(values: Sequence[Any]) -> Any:
    return next((value for value in reversed(values) if value is not None), None)
