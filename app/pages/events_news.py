"""What has come to the history since its newest page was made: the page asks for how many."""

from __future__ import annotations

from flask import Blueprint, Response, jsonify, request

from app.pages.history_form import HistoryForm
from app.problems import ProblemError
from app.runtime import runtime
from eventbus.log.news import count_news

MOST = 1_000
"""More is "999+": beyond it nobody counts, and counting stays cheap."""

blueprint = Blueprint("events_news", __name__)


@blueprint.get("/events/news")
def news() -> Response:
    """How many events match the filter after the position ``after``; 204 when nothing has come."""
    form = HistoryForm.read(request.args)
    query = form.query()
    text = request.args.get("after", "")
    if not (text.isascii() and text.isdecimal() and len(text) <= 18):
        form.errors["after"] = f"{text[:40]!r} is not a position: write a number, such as 1200"
    for name, detail in form.errors.items():
        raise ProblemError.parameter(name, detail)
    after = int(text)
    log = runtime().bus.log
    if log.last_sequence <= after:
        return Response(status=204)
    found = count_news(log, query, after, MOST)
    return jsonify(count=found.count, position=found.position, is_all=found.is_all)
