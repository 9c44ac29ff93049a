"""Evaluations: their list, and one with its events and files."""

from __future__ import annotations

from flask import Blueprint, Response

from app.api import parameters
from app.api.shapes import answer, event_list, page, record, with_member
from app.problems import ProblemError
from app.runtime import runtime
from eventbus.log import EventQuery

STATES = ("active", "retrying", "completed", "failed", "exhausted", "stalled")

blueprint = Blueprint("evaluations", __name__)


@blueprint.get("/evaluations")
def evaluations() -> Response:
    """One page of evaluations, newest first."""
    found = runtime().handlers.evaluations.list(
        state=parameters.choice("state", STATES),
        limit=parameters.limit(),
        cursor=parameters.text("cursor"),
    )
    return page("evaluations", found.items, found.next)


@blueprint.get("/evaluations/<path:eval_id>")
def evaluation(eval_id: str) -> Response:
    """One evaluation with its first events, oldest first, and its files.

    ``limit`` bounds the events; ``next`` continues them at ``/api/events?subject=…&order=asc``.
    """
    parts = runtime()
    found = parts.handlers.evaluations.get(eval_id)
    if found is None:
        raise ProblemError(404, "Not Found", f"there is no evaluation {eval_id[:100]!r}")
    events = parts.bus.log.query(
        EventQuery(subject=eval_id, order="asc", limit=parameters.limit(default=200))
    )
    document = {**record(found), "files": parts.handlers.files.list(eval_id), "next": events.next}
    response = answer(document)
    text = response.get_data(as_text=True).rstrip("\n")
    response.set_data(with_member(text, "events", event_list(events.events)) + "\n")
    return response
