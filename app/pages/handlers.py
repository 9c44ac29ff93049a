"""The pages of the handlers: how each subscription does, pausing it, delivering to it again."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from flask import Blueprint, redirect, request
from werkzeug.wrappers import Response

from app.pages import chart
from app.pages.filters import handler_href, plural
from app.pages.flow import read_window, window_context
from app.pages.flow_view import pace
from app.pages.frame import back_to, example_command, render, with_query
from app.pages.replay_form import ReplayForm
from app.pages.who import who
from app.pages.window import Window
from app.problems import ProblemError
from app.runtime import runtime
from eventbus import Event, Pattern
from eventbus.errors import OperationError, SubscriptionError
from eventbus.log import EventQuery, Operation, Selection
from eventbus.log.flow_figures import FlowFigures, FlowSeries, Handled
from eventbus.statistics import SubscriptionStats

_MOST_REASON_CHARS = 200
_FEW = 8

blueprint = Blueprint("handlers_page", __name__)


@dataclass(frozen=True, slots=True)
class Row:
    """One subscription in a window of time; ``bars`` and ``failed_bars`` are its small charts."""

    stats: SubscriptionStats
    handled: Handled | None
    bars: list[chart.Bar]
    failed_bars: list[chart.Bar]
    titles: list[str]

    @property
    def count(self) -> int:
        return self.handled.succeeded if self.handled else 0

    @property
    def failures(self) -> int:
        return self.handled.failures if self.handled else 0

    def percentile_ms(self, percent: float) -> float | None:
        """Of the window; of the newest 1,000 when nothing was handled in it."""
        if self.handled and self.handled.took:
            return self.handled.percentile_ms(percent)
        newest = {50: self.stats.p50_ms, 95: self.stats.p95_ms, 99: self.stats.p99_ms}
        return newest.get(int(percent))


_SORTS: dict[str, Callable[[Row], Any]] = {
    "name": lambda row: row.stats.name,
    "lag": lambda row: (-row.stats.lag, row.stats.name),
    "rate": lambda row: (-row.count, row.stats.name),
    "p95": lambda row: (-(row.percentile_ms(95) or 0), row.stats.name),
    "failures": lambda row: (-row.failures, row.stats.name),
}


@blueprint.get("/handlers")
def handlers() -> str:
    """All subscriptions, by name or by what ``sort`` says."""
    window, errors = read_window()
    sort = request.args.get("sort", "name")
    sort = sort if sort in _SORTS else "name"
    figures = runtime().flow.figures(window.since, window.until)
    rows = sorted(_rows(window, figures), key=_SORTS[sort])
    return render(
        "handlers.html",
        "handlers",
        rows=rows,
        sort=sort,
        sort_hrefs={name: with_query("/handlers", sort=name, **window.query) for name in _SORTS},
        paused_count=sum(row.stats.state == "paused" for row in rows),
        seconds=figures.lasted_s(window.until),
        pace=pace,
        here=with_query("/handlers", sort=sort, **window.query),
        example=example_command(),
        **window_context("/handlers", window, errors, sort=sort if sort != "name" else None),
    )


@blueprint.get("/handlers/<name>")
def handler(name: str) -> str:
    """One subscription."""
    return _page(name, ReplayForm())


@blueprint.get("/handlers/by-name")
def handler_by_name() -> str:
    """One whose name no path can hold."""
    return _page(request.args.get("name", ""), ReplayForm())


@blueprint.post("/handlers/pause")
def pause() -> Response:
    """Begin no more of it; what comes stays pending."""
    return _set_paused(True)


@blueprint.post("/handlers/resume")
def resume() -> Response:
    """Go on."""
    return _set_paused(False)


@blueprint.post("/handlers/replay")
def replay() -> str | Response:
    """Count what would be delivered again; with ``confirmed``, do it."""
    name = _name()
    form = ReplayForm.read(name, request.form)
    if form.errors or form.replayed is None:
        return _page(name, form)
    operations = runtime().bus.operations
    try:
        if request.form.get("confirmed"):
            operations.replay(form.replayed, who(), form.reason, form.rate)
            return back_to(handler_href(name) + "#replays")
        form.preview = operations.preview_replay(form.replayed)
    except OperationError as error:
        form.errors["first"] = str(error)
    return _page(name, form)


@blueprint.post("/handlers/end")
def end() -> Response:
    """Forget a subscription that nothing serves any more; what it has not finished is cancelled."""
    name = _name()
    parts = runtime()
    if not any(each.name == name and is_left(each) for each in parts.bus.subscriptions()):
        raise ProblemError(409, "Not possible", f"{name[:200]!r} is served again: it is not ended")
    try:
        parts.consumers.forget(name, who())
    except SubscriptionError as error:
        raise ProblemError(409, "Not possible", str(error)) from None
    return redirect("/handlers", 303)


def is_left(stats: SubscriptionStats) -> bool:
    """Whether it is only kept: durable, and no process of the log serves it."""
    return stats.is_durable and not stats.is_active and not stats.is_elsewhere


def _set_paused(wanted: bool) -> Response:
    name = _name()
    reason = request.form.get("reason", "").strip()
    if len(reason) > _MOST_REASON_CHARS or not reason.isprintable():
        detail = f"the reason must be at most {_MOST_REASON_CHARS} printable characters"
        raise ProblemError(400, "Wrong form", detail)
    pauses = runtime().bus.pauses
    try:
        (pauses.pause if wanted else pauses.resume)(name, who(), reason or None)
    except SubscriptionError as error:
        raise ProblemError(409, "Not possible", str(error)) from None
    return back_to(handler_href(name))


def _name() -> str:
    name = request.form.get("name", "")
    if all(stats.name != name for stats in runtime().bus.subscriptions()):
        raise ProblemError(404, "No such handler", f"there is no subscription {name[:200]!r}")
    return name


def _page(name: str, form: ReplayForm) -> str:
    window, errors = read_window()
    bus = runtime().bus
    figures = runtime().flow.figures(window.since, window.until)
    row = next((each for each in _rows(window, figures) if each.stats.name == name), None)
    if row is None:
        detail = f"there is no subscription {name[:200]!r}; it may have been unsubscribed"
        raise ProblemError(404, "No such handler", detail)
    mine = Selection(subscription=name)
    path, _, query = handler_href(name).partition("?")
    kept = {"name": name} if query else {}
    return render(
        "handler.html",
        "handlers",
        row=row,
        stats=row.stats,
        types=sorted(
            (each for each in figures.handled if each.subscription == name),
            key=lambda each: (-each.failures, -each.succeeded, each.type),
        ),
        caused=sorted(
            (each for each in figures.caused if each.subscription == name and each.count),
            key=lambda each: (-each.count, each.caused),
        ),
        running=[each for each in bus.running() if each.subscription == name],
        dead=bus.log.list_deliveries("dead", limit=_FEW, selection=mine).deliveries,
        retrying=bus.log.list_deliveries("retrying", limit=_FEW, selection=mine).deliveries,
        changes=_changes(name),
        can_end=is_left(row.stats),
        refusal=bus.operations.refused_replays.get(name),
        operations=_operations(name),
        form=form,
        question=_question(form, name),
        last_sequence=bus.log.last_sequence,
        seconds=figures.lasted_s(window.until),
        pace=pace,
        here=with_query(handler_href(name), **window.query),
        **window_context(path, window, errors, **kept),
    )


def _rows(window: Window, figures: FlowFigures) -> list[Row]:
    parts = runtime()
    series = parts.flow.series(window.since, window.until)
    return [
        _row(stats, figures.by_subscription.get(stats.name), series)
        for stats in parts.bus.subscriptions()
    ]


def _row(stats: SubscriptionStats, handled: Handled | None, series: FlowSeries) -> Row:
    succeeded = series.succeeded.get(stats.name, [])
    failures = series.failures.get(stats.name, [0] * len(succeeded))
    succeeded = succeeded or [0] * len(failures)
    titles = []
    for place, (good, bad) in enumerate(zip(succeeded, failures, strict=True)):
        at = datetime.fromtimestamp(
            series.since.timestamp() + place * series.step_s, series.since.tzinfo
        )
        titles.append(f"{at:%b %d %H:%M} UTC: {good} handled, {plural(bad, 'failed attempt')}")
    most = max([*succeeded, 1])
    return Row(
        stats, handled, chart.bars(succeeded, most), chart.bars(failures, max([*failures, 1])),
        titles,
    )  # fmt: skip


def _changes(name: str) -> list[Event]:
    """Who paused and resumed it, newest first."""
    query = EventQuery(pattern=Pattern("subscription.*"), subject=name, limit=_FEW)
    return runtime().bus.log.query(query).events


def _operations(name: str) -> list[Operation]:
    """Its newest replays."""
    newest = runtime().bus.operations.list(limit=100).operations
    mine = [
        each for each in newest
        if each.kind == "replay" and each.selection.get("subscription") == name
    ]  # fmt: skip
    return mine[:_FEW]


def _question(form: ReplayForm, name: str) -> str | None:
    preview = form.preview
    if preview is None:
        return None
    to_do = preview.total - preview.skipped
    if not to_do:
        return None
    text = f"Deliver {plural(to_do, 'event')} again to {name}?"
    if form.rate:
        text += f" At {form.rate:g} a second that takes about {_long(to_do / form.rate)}."
    return text


def _long(seconds: float) -> str:
    return plural(round(seconds), "second") if seconds < 120 else f"{round(seconds / 60)} minutes"
