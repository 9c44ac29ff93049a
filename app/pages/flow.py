"""The page of what flows: the observed graph, the same as a table, and the events of one edge."""

from __future__ import annotations

from typing import Any

from flask import Blueprint, request

from app.flow.graph import build
from app.pages.flow_view import pace, view
from app.pages.frame import example_command, render, with_query
from app.pages.window import NAMED, Window, WindowError
from app.problems import ProblemError
from app.runtime import runtime
from eventbus import Pattern
from eventbus.errors import PatternError
from eventbus.log.flow_events import EdgeQuery

_MOST_OPENED = 40
_MOST_ROWS = 300
EDGE_ROWS = 100
_EDGE = ("type", "handler", "caused")

blueprint = Blueprint("flow_page", __name__)


@blueprint.get("/flow")
def flow() -> str:
    """The graph of a window of time; ``open`` lists families whose types are drawn one by one."""
    window, errors = read_window()
    opened = [each for each in request.args.get("open", "").split(",") if each][:_MOST_OPENED]
    grouping = {"family": True, "type": False}.get(request.args.get("group", ""))
    parts = runtime()
    figures = parts.flow.figures(window.since, window.until)
    graph = build(figures, is_grouped=grouping, opened=opened)
    seconds = figures.lasted_s(window.until)
    subscriptions = {stats.name: stats for stats in parts.bus.subscriptions()}
    rows = sorted(
        figures.handled, key=lambda each: (-each.failures, -each.succeeded, each.type)
    )  # fmt: skip
    caused = sorted(figures.caused, key=lambda each: (-each.count, each.type))
    return render(
        "flow.html",
        "flow",
        view=view(graph, window, opened, seconds, subscriptions),
        rows=rows[:_MOST_ROWS],
        row_count=len(rows),
        caused=caused[:_MOST_ROWS],
        caused_count=len(caused),
        seconds=seconds,
        pace=pace,
        silent=[name for name in sorted(subscriptions) if f"handler:{name}" not in graph.nodes],
        opened=opened,
        grouping=request.args.get("group", ""),
        behind=max(0, parts.bus.log.last_sequence - figures.position),
        position=figures.position,
        example=example_command(),
        **window_context("/flow", window, errors, open=",".join(opened) or None),
    )


@blueprint.get("/flow/edge")
def edge() -> str:
    """The newest deliveries of a ``type`` to a ``handler``, or the events that one ``caused``."""
    window, errors = read_window()
    type, handler, caused = (request.args.get(each, "")[:400] for each in _EDGE)
    is_failed = request.args.get("only") == "failed" and not caused
    before = request.args.get("before", "")
    if not (caused or (type and handler)):
        detail = "an edge is a type and its handler, or what was caused"
        raise ProblemError(400, "Wrong parameter", detail)
    found = runtime().flow.events(EdgeQuery(
        _pattern(caused or type), handler or None, window.since, window.until,
        is_caused=bool(caused), is_failed=is_failed, limit=EDGE_ROWS,
        before=int(before) if before.isdecimal() and len(before) < 19 else None,
    ))  # fmt: skip
    names = {"type": type, "handler": handler, "caused": caused}
    kept = {**names, "only": "failed" if is_failed else None}
    return render(
        "flow_edge.html",
        "flow",
        found=found,
        is_failed=is_failed,
        all_href=with_query("/flow/edge", **names, **window.query),
        failed_href=with_query("/flow/edge", **names, only="failed", **window.query),
        next_href=with_query("/flow/edge", **kept, before=found.next, **window.query)
        if found.next
        else None,
        first_href=with_query("/flow/edge", **kept, **window.query) if before else None,
        flow_href=with_query("/flow", **window.query),
        **names,
        **window_context("/flow/edge", window, errors, **kept),
    )


def _pattern(text: str) -> Pattern:
    try:
        return Pattern(text)
    except PatternError as error:
        raise ProblemError(400, "Wrong parameter", str(error)) from None


def read_window() -> tuple[Window, dict[str, str]]:
    """The window that the request asks for; with what is wrong with it, if anything is."""
    try:
        return Window.read(request.args), {}
    except WindowError as error:
        return Window.named("1h"), {error.field: str(error)}


def window_context(
    path: str, window: Window, errors: dict[str, str], **kept: Any
) -> dict[str, Any]:
    """What templates/macros/window.html needs to offer other windows of the same page."""
    return {
        "window": window,
        "window_errors": errors,
        "window_tabs": [
            (name, text, with_query(path, **kept, window=name), window.name == name and not errors)
            for name, text in NAMED.items()
        ],
        "window_path": path,
        "window_kept": {name: value for name, value in kept.items() if value},
        "window_given": {name: request.args.get(name, "")[:100] for name in ("since", "until")},
    }
