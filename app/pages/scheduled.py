"""The page of what is recorded later: when each is due, and taking it back."""

from __future__ import annotations

from typing import Any

from flask import Blueprint, redirect, render_template, request
from werkzeug.wrappers import Response

from app.access.publishing import check_cancel
from app.pages.frame import is_htmx, render, with_query
from app.pages.who import who
from app.problems import ProblemError
from app.runtime import runtime

_PATH = "/events/scheduled"
_PAGE_SIZE = 50
_COMMIT_TIMEOUT_S = 10.0

blueprint = Blueprint("scheduled_page", __name__)


@blueprint.get(_PATH)
def scheduled() -> str:
    """One page of scheduled events, the next one due first."""
    return render("scheduled.html", "events", **_listed())


@blueprint.post(f"{_PATH}/cancel")
def cancel() -> str | Response:
    """Take one back; the log then has who did it."""
    id, source = request.form.get("id", ""), request.form.get("source", "")
    if not id or not source:
        detail = f"{'source' if id else 'id'} must be given: it names what is taken back"
        raise ProblemError(400, "Wrong form", detail)
    check_cancel(id, source)
    is_done = runtime().bus.cancel(id, source=source, by=who()).wait(_COMMIT_TIMEOUT_S)
    if not is_htmx():
        return redirect(with_query(_PATH, cursor=request.args.get("cursor")), 303)
    said = f"{id} is cancelled" if is_done else f"{id} was recorded or cancelled before"
    return render_template("scheduled/_list.html", said=said, **_listed())


def _listed() -> dict[str, Any]:
    schedules = runtime().bus.log.schedules
    cursor = request.args.get("cursor")
    page = schedules.page(_PAGE_SIZE, cursor)
    return {
        "events": page.events,
        "count": schedules.count(),
        "query": with_query("", cursor=cursor),
        "next_href": with_query(_PATH, cursor=page.next) if page.next else None,
        "first_href": _PATH if cursor else None,
    }
