"""The histogram above the history: columns to click on or drag over, each a range of time."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

from app.pages.history_form import HistoryForm
from app.pages.times import coarse
from eventbus.log.search import Histogram
from eventbus.timestamps import format_time

WIDTH, HEIGHT = 10.0, 60.0
"""The view box of one column."""
_GAP = 2.0
_LEAST = 2.0
_TICKS = 4


@dataclass(frozen=True, slots=True)
class Column:
    """One column in units of the view box; ``href`` is the history within its range."""

    x: float
    y: float
    height: float
    bad_y: float
    bad_height: float
    count: int
    bad_count: int
    start: datetime
    end: datetime
    href: str


@dataclass(frozen=True, slots=True)
class Tick:
    """A moment below the columns; ``form`` is how much of it has to be written."""

    moment: datetime
    form: str


@dataclass(frozen=True, slots=True)
class Chart:
    """What the template draws; ``wider_href`` shows three times the range around this one."""

    columns: list[Column]
    ticks: list[Tick]
    width: float
    total: int
    most: int
    each: str
    is_sampled: bool
    is_exact: bool
    uncounted: int
    wider_href: str | None
    all_href: str | None


def columns(found: Histogram, form: HistoryForm) -> Chart | None:
    """The chart of a histogram of the form's events; None where one event would be one block."""
    is_bounded = "since" in form.values or "until" in form.values
    if found.total == 1 and not is_bounded and not found.uncounted:
        return None
    most = max(bar.count for bar in found.bars)
    drawn = []
    for place, bar in enumerate(found.bars):
        tall = _tall(bar.count, most)
        bad = min(tall, _tall(bar.bad_count, most))
        drawn.append(
            Column(
                x=round(place * WIDTH, 2),
                y=round(HEIGHT - tall, 2),
                height=round(tall, 2),
                bad_y=round(HEIGHT - bad, 2),
                bad_height=round(bad, 2),
                count=bar.count,
                bad_count=bar.bad_count,
                start=bar.start,
                end=bar.end,
                href=form.href(since=format_time(bar.start), until=format_time(bar.end)),
            )
        )
    span = found.end - found.start
    each = found.bars[0].end - found.bars[0].start
    return Chart(
        columns=drawn,
        ticks=_ticks(found, each),
        width=len(drawn) * WIDTH,
        total=found.total,
        most=most,
        each=_width(each),
        is_sampled=found.is_sampled,
        is_exact=found.is_exact,
        uncounted=found.uncounted,
        wider_href=_wider(found, form, span) if is_bounded else None,
        all_href=form.href(since=None, until=None) if is_bounded else None,
    )


def _tall(count: int, most: int) -> float:
    """A column that is not empty stays visible beside a much larger one."""
    return max(count / most * HEIGHT, _LEAST) if count > 0 else 0.0


def _width(each: timedelta) -> str:
    seconds = each.total_seconds()
    return coarse(seconds) if seconds >= 1 else f"{seconds * 1000:.0f} ms"


def _wider(found: Histogram, form: HistoryForm, span: timedelta) -> str | None:
    try:
        return form.href(since=format_time(found.start - span), until=format_time(found.end + span))
    except OverflowError:
        return None


def _ticks(found: Histogram, each: timedelta) -> list[Tick]:
    """Moments at equal distances, as coarse as the columns are wide."""
    span = found.end - found.start
    form = "second" if each < timedelta(seconds=30) else "minute"
    if span > timedelta(days=4):
        form = "day"
    elif span > timedelta(hours=20):
        form = "hour"
    elif span < timedelta(seconds=_TICKS):
        form = "millisecond"
    return [Tick(found.start + span * (n / _TICKS), form) for n in range(_TICKS + 1)]
