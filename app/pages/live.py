"""The live page's first load; from then on app/live keeps it up to date."""

from __future__ import annotations

from typing import Any

from flask import Blueprint, request

from app.live.first_load import first_load
from app.pages.frame import example_command, render, with_query
from app.runtime import runtime
from eventbus import Pattern
from eventbus.errors import PatternError

_MOST_FAMILIES = 12

blueprint = Blueprint("live_page", __name__)


@blueprint.get("/")
def live() -> str | tuple[str, int]:
    """Everything, or what matches ``?type=``; a pattern that is wrong says so beside the field."""
    parts = runtime()
    text = request.args.get("type", "").strip()
    error, pattern = None, Pattern("#")
    if text:
        try:
            pattern = Pattern(text)
        except PatternError as problem:
            error = str(problem)
    state = first_load(parts.bus, parts.handlers, parts.hub, pattern)
    types = [seen.type for seen in parts.bus.log.types()]
    page = render(
        "live.html",
        "live",
        pattern="" if error else text,
        filter_text=text,
        filter_error=error,
        socket_url=with_query(
            "/live", type=pattern.text, after=str(state.sequence), boot=state.boot
        ),
        sequence=state.sequence,
        boot=state.boot,
        rows=[] if error else state.rows,
        panels=state.panels,
        types=types,
        families=families(types),
        curl_example=example_command(),
    )
    return (page, 400) if error else page


def families(types: list[str]) -> list[str]:
    """The first segments of types that were seen, each once, for one-click filters."""
    seen: dict[str, Any] = dict.fromkeys(type.partition(".")[0] for type in types)
    return list(seen)[:_MOST_FAMILIES]
