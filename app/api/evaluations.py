"""Evaluations: their list, one with its events and files, and what a person may ask of one."""

from __future__ import annotations

from flask import Blueprint, Response

from app.api.alerts import by
from app.api.answers.work import EvaluationAsked, EvaluationDetail, EvaluationPage
from app.api.common import AT, BY, CURSOR, EVAL_ID, LIMIT
from app.api.shapes import answer, event_list, page, record, with_member
from app.evaluation_requests import ask, named
from app.openapi import kinds
from app.openapi.fields import Body, Field
from app.openapi.operation import operation
from app.runtime import runtime
from app.travel import as_of, asked
from eventbus.log import EventQuery
from handlers.evaluation import EvaluationQuery
from handlers.evaluation.lifecycle import STATES
from handlers.evaluation.listing import SORTS

_TAG = "Evaluations"
_STATE = Field("state", kinds.choice(STATES), "Only evaluations in this state.")
_TASK = Field("task", kinds.text(), "Only of this task.", example="gsm8k")
_MODEL = Field("model", kinds.text(), "Only of this model.")
_TEXT = Field("q", kinds.raw(), "Text in the id, task, model or error.")
_SORT = Field("sort", kinds.choice(SORTS), "What they are ordered by.", default="started")
_ORDER = Field("order", kinds.choice(("asc", "desc")), "In which direction.", default="desc")
_EVENTS = Field("limit", LIMIT.kind, "How many of its events are given at most.", default=200)
_BODY = Body((BY,), {"with a name": {"by": "ann"}})
_ASKED = {200: EvaluationAsked, 202: EvaluationAsked}
_UNKNOWN = {404: "No event has told of this evaluation."}
_NOT_NOW = {**_UNKNOWN, 409: "It cannot be asked for now."}

blueprint = Blueprint("evaluations", __name__)


@blueprint.get("/evaluations")
@operation(
    "listEvaluations", _TAG,
    query=(_STATE, _TASK, _MODEL, _TEXT, _SORT, _ORDER, LIMIT, CURSOR, AT),
    answers={200: EvaluationPage}, problems={410: "That time is not kept."},
)  # fmt: skip
def evaluations() -> Response:
    """One page of the evaluations that match, the newest first unless ``sort`` says otherwise."""
    with asked() as (handlers, moment):
        found = handlers.evaluations.search(query(LIMIT.read()))
    return page("evaluations", found.items, found.next, as_of(moment))


def query(limit: int) -> EvaluationQuery:
    """What the request's parameters ask of the list."""
    return EvaluationQuery(
        state=_STATE.read(),
        task=_TASK.read(),
        model=_MODEL.read(),
        text=_TEXT.read(),
        sort=_SORT.read(),
        order=_ORDER.read(),
        limit=limit,
        cursor=CURSOR.read(),
    )


@blueprint.get("/evaluations/<path:eval_id>")
@operation(
    "getEvaluation", _TAG, path=(EVAL_ID,), query=(_EVENTS,), answers={200: EvaluationDetail},
    problems=_UNKNOWN,
)  # fmt: skip
def evaluation(eval_id: str) -> Response:
    """One evaluation with its first events, oldest first, and its files.

    ``limit`` bounds the events; ``next`` continues them at ``/api/events?subject=…&order=asc``.
    """
    parts = runtime()
    found = named(eval_id)
    events = parts.bus.log.query(EventQuery(subject=eval_id, order="asc", limit=_EVENTS.read()))
    document = {**record(found), "files": parts.handlers.files.list(eval_id), "next": events.next}
    response = answer(document)
    text = response.get_data(as_text=True).rstrip("\n")
    response.set_data(with_member(text, "events", event_list(events.events)) + "\n")
    return response


@blueprint.post("/evaluations/<path:eval_id>/retry")
@operation("retryEvaluation", _TAG, path=(EVAL_ID,), body=_BODY, answers=_ASKED, problems=_NOT_NOW)
def retry(eval_id: str) -> Response:
    """Ask for the next attempt now, in the name of ``by``; a scheduled one comes now, once."""
    return _ask(eval_id, "retry")


@blueprint.post("/evaluations/<path:eval_id>/cancel")
@operation("cancelEvaluation", _TAG, path=(EVAL_ID,), body=_BODY, answers=_ASKED, problems=_NOT_NOW)
def cancel(eval_id: str) -> Response:
    """Call it off, in the name of ``by``."""
    return _ask(eval_id, "cancel")


def _ask(eval_id: str, action: str) -> Response:
    """Ask, and answer with the evaluation as it is after the handler took that in."""
    event, is_handled = ask(named(eval_id), action, by(_BODY.read())["by"])
    document = {
        **record(named(eval_id)),
        "handled": is_handled,
        "event": {"id": event.id, "sequence": event.sequence},
    }
    return answer(document, 200 if is_handled else 202)
