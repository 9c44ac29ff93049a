"""Evaluations: their list, one with its events and files, and what a person may ask of one."""

from __future__ import annotations

from flask import Blueprint, Response

from app.api import parameters
from app.api.alerts import by
from app.api.shapes import answer, event_list, page, record, with_member
from app.evaluation_requests import ask, named
from app.runtime import runtime
from app.travel import as_of, asked
from eventbus.log import EventQuery
from handlers.evaluation import EvaluationQuery
from handlers.evaluation.lifecycle import STATES
from handlers.evaluation.listing import SORTS

blueprint = Blueprint("evaluations", __name__)


@blueprint.get("/evaluations")
def evaluations() -> Response:
    """One page of the evaluations that match, the newest first unless ``sort`` says otherwise."""
    with asked() as (handlers, moment):
        found = handlers.evaluations.search(query(parameters.limit()))
    return page("evaluations", found.items, found.next, as_of(moment))


def query(limit: int) -> EvaluationQuery:
    """What the request's parameters ask of the list."""
    return EvaluationQuery(
        state=parameters.choice("state", STATES),
        task=parameters.text("task"),
        model=parameters.text("model"),
        text=parameters.text("q"),
        sort=parameters.choice("sort", SORTS, default="started"),
        order=parameters.choice("order", ("asc", "desc"), default="desc"),
        limit=limit,
        cursor=parameters.text("cursor"),
    )


@blueprint.get("/evaluations/<path:eval_id>")
def evaluation(eval_id: str) -> Response:
    """One evaluation with its first events, oldest first, and its files.

    ``limit`` bounds the events; ``next`` continues them at ``/api/events?subject=…&order=asc``.
    """
    parts = runtime()
    found = named(eval_id)
    events = parts.bus.log.query(
        EventQuery(subject=eval_id, order="asc", limit=parameters.limit(default=200))
    )
    document = {**record(found), "files": parts.handlers.files.list(eval_id), "next": events.next}
    response = answer(document)
    text = response.get_data(as_text=True).rstrip("\n")
    response.set_data(with_member(text, "events", event_list(events.events)) + "\n")
    return response


@blueprint.post("/evaluations/<path:eval_id>/retry")
def retry(eval_id: str) -> Response:
    """Ask for the next attempt now, in the name of ``by``; a scheduled one comes now, once."""
    return _ask(eval_id, "retry")


@blueprint.post("/evaluations/<path:eval_id>/cancel")
def cancel(eval_id: str) -> Response:
    """Call it off, in the name of ``by``."""
    return _ask(eval_id, "cancel")


def _ask(eval_id: str, action: str) -> Response:
    """Ask, and answer with the evaluation as it is after the handler took that in."""
    event, is_handled = ask(named(eval_id), action, by(parameters.body_object())["by"])
    document = {
        **record(named(eval_id)),
        "handled": is_handled,
        "event": {"id": event.id, "sequence": event.sequence},
    }
    return answer(document, 200 if is_handled else 202)
