"""Pages of the past: the bar to move in time by, and the live page as it was."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from flask import redirect, request
from werkzeug.wrappers import Response

from app.live.panels import critical_alerts
from app.live.past import past_tree, past_trend
from app.pages.filter_help import proposal
from app.pages.frame import render, with_query
from app.pages.times import is_age
from app.problems import ProblemError
from app.runtime import runtime
from app.travel import PARAMETER, asked, place
from eventbus import Pattern
from eventbus.errors import PatternError, TravelError
from eventbus.log import EventQuery
from eventbus.timestamps import format_time
from handlers import Handlers
from handlers.travel import PastHandlers, Place

_ROWS = 100
_MOST_ITEMS = 50
_STEP = timedelta(minutes=1)
SPEEDS = (1, 10, 60)


@dataclass(frozen=True, slots=True)
class Bar:
    """What the bar of a page says and where its steps lead; ``place`` is None for now."""

    path: str
    place: Place | None
    problem: str | None = None

    @property
    def kept(self) -> list[tuple[str, str]]:
        """What of the address stays when only the time changes."""
        return [
            (name, value)
            for name, value in request.args.items(multi=True)
            if name not in (PARAMETER, "cursor")
        ]

    @property
    def speeds(self) -> tuple[int, ...]:
        return SPEEDS

    def href(self, at: str | int | None) -> str:
        """This page at another time; None is now."""
        return with_query(self.path, **dict(self.kept), **{PARAMETER: at})

    @property
    def event_back(self) -> str | None:
        return None if self.place is None or self.place.before is None else self._to(-1)

    @property
    def event_on(self) -> str | None:
        return None if self.place is None or self.place.after is None else self._to(1)

    def _to(self, by: int) -> str:
        assert self.place is not None
        return self.href(self.place.before if by < 0 else self.place.after)

    @property
    def minute_back(self) -> str | None:
        at, first = self._at, self.place and self.place.first
        if at is None or first is None or at <= first:
            return None
        return self.href(format_time(max(first, at - _STEP)))

    @property
    def minute_on(self) -> str | None:
        at, last = self._at, self.place and self.place.last
        if at is None or last is None or at >= last:
            return None
        return self.href(format_time(min(last, at + _STEP)))

    @property
    def _at(self) -> datetime | None:
        return None if self.place is None else self.place.at


def bar(path: str, place: Place | None = None) -> Bar:
    """The bar of the page at ``path``."""
    return Bar(path, place)


def travels() -> bool:
    """Whether the request asks for the past."""
    return bool(request.args.get(PARAMETER, "").strip())


def problem_page(path: str, page: str, error: TravelError | ProblemError) -> tuple[str, int]:
    """Why a time cannot be shown, with the bar to choose another."""
    status = error.status if isinstance(error, ProblemError) else 503
    text = str(error)
    if isinstance(error, ProblemError) and error.errors:
        text = f"the time {error.errors[0]['detail']}"
    moment = None
    if not isinstance(error, ProblemError):
        moment = place()
        status = 410 if type(error).__name__ == "TravelTooEarlyError" else 503
    html = render(
        "travel.html", page, is_past=True, bar=Bar(path, moment, text), moment=moment, problem=text,
        is_for_now=status == 503,
    )  # fmt: skip
    return html, status


def lasting() -> Response | None:
    """A redirect from an age to the time that it means now, so that the address can be shared."""
    text = request.args.get(PARAMETER, "").strip()
    if not is_age(text) or (moment := place()) is None or moment.at is None:
        return None
    return redirect(Bar(request.path, moment).href(format_time(moment.at)))


def past_live() -> tuple[str, int] | Response:
    """The live page as it was, with its numbers and lists, and the stream up to then."""
    try:
        if address := lasting():
            return address
        with asked() as (handlers, moment):
            assert moment is not None
            return _past_live(handlers, moment)
    except (TravelError, ProblemError) as error:
        return problem_page("/", "live", error)


def _past_live(handlers: Handlers | PastHandlers, moment: Place) -> tuple[str, int]:
    text, error = request.args.get("type", "").strip(), None
    pattern = Pattern("#")
    try:
        pattern = Pattern(text) if text else pattern
    except PatternError as problem:
        error = str(problem)
    counters = handlers.counters()
    log = runtime().bus.log
    newest = log.query(EventQuery(pattern=pattern, before=moment.position + 1, limit=_ROWS))
    html = render(
        "live_past.html",
        "live",
        is_past=True,
        bar=bar("/", moment),
        moment=moment,
        counters=counters,
        rate=moment.rate,
        alerts=critical_alerts(handlers),
        active=handlers.evaluations.active(_MOST_ITEMS),
        total=counters["active"],
        retrying=handlers.evaluations.retrying(_MOST_ITEMS),
        trend=past_trend(log, handlers, moment.position, moment.at) if moment.at else None,
        tree=past_tree(log, moment.position, moment.at) if moment.at else None,
        meant=proposal(text, log.known_types.names()) if error else None,
        rows=newest.events,
        pattern="" if error else text,
        filter_text=text,
        filter_error=error,
    )
    return html, 400 if error else 200


@contextmanager
def page_models(path: str) -> Iterator[tuple[Handlers | PastHandlers, dict[str, Any]]]:
    """The read models that a page asks, and what its template needs for its bar."""
    with asked() as (handlers, moment):
        yield (
            handlers,
            {
                "bar": bar(path, moment),
                "moment": moment,
                "is_past": moment is not None,
            },
        )
