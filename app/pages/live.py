"""The live page's first load; from then on app/live keeps it up to date."""

from __future__ import annotations

from flask import Blueprint, request
from werkzeug.wrappers import Response

from app.live.first_load import first_load
from app.live.traffic import REST
from app.pages.filter_help import proposal
from app.pages.frame import example_command, render, with_query
from app.pages.travel import bar, past_live, travels
from app.pages.views import menu_context
from app.runtime import runtime
from eventbus import Pattern
from eventbus.errors import PatternError
from eventbus.validation import shown

_MOST_FAMILIES = 12
# For browsers without scripts; with them the field asks /api/types.
_MOST_TYPES = 100

blueprint = Blueprint("live_page", __name__)


@blueprint.get("/")
def live() -> tuple[str, int] | Response:
    """Everything, or what matches ``?type=`` or the saved ``?view=``; a wrong one says so."""
    if travels():
        return past_live()
    parts = runtime()
    text, view, error, status = request.args.get("type", "").strip(), None, None, 200
    if not text and (name := request.args.get("view")):
        view = parts.handlers.views.get(name)
        if view is None:
            error, status = f"There is no saved view called {shown(name)}; was it renamed?", 404
        else:
            text = view.type
    pattern = Pattern("#")
    if text:
        try:
            pattern = Pattern(text)
        except PatternError as problem:
            error, status = str(problem), 400
    state = first_load(parts.bus, parts.handlers, parts.hub, pattern)
    tree = state.panels["types"]["tree"]
    types = [seen.type for seen in parts.hub.traffic.types() if seen.type != REST]
    page = render(
        "live.html",
        "live",
        **menu_context(view.name if view else None, "" if error else text),
        filter_text=text,
        filter_error=error,
        socket_url=with_query(
            "/live", type=pattern.text, after=str(state.sequence), boot=state.boot
        ),
        sequence=state.sequence,
        boot=state.boot,
        meant=proposal(text, types) if error else None,
        rows=state.rows,
        panels=state.panels,
        types=types[:_MOST_TYPES],
        families=[node.family for node in tree.families[:_MOST_FAMILIES]],
        curl_example=example_command(),
        bar=bar("/"),
    )
    return page, status
