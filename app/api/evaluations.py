"""Evaluations: their list, one with its events and files, and what a person may ask of one."""

from __future__ import annotations

from collections.abc import Callable

from flask import Blueprint, Response

from app.api import parameters
from app.api.alerts import HANDLED_WITHIN_S, by
from app.api.shapes import answer, event_list, page, record, with_member
from app.problems import ProblemError
from app.runtime import runtime
from eventbus import EventBus
from eventbus.bus import Receipt
from eventbus.errors import ReceiptTimeoutError
from eventbus.log import EventQuery
from handlers.evaluation import Evaluation, EvaluationQuery
from handlers.evaluation.lifecycle import STATES
from handlers.evaluation.listing import SORTS
from handlers.evaluation.requests import cancel, retry_now, why_not_cancel, why_not_retry

blueprint = Blueprint("evaluations", __name__)


@blueprint.get("/evaluations")
def evaluations() -> Response:
    """One page of the evaluations that match, the newest first unless ``sort`` says otherwise."""
    found = runtime().handlers.evaluations.search(query(parameters.limit()))
    return page("evaluations", found.items, found.next)


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
    return _ask(named(eval_id), why_not_retry, retry_now)


@blueprint.post("/evaluations/<path:eval_id>/cancel")
def cancelled(eval_id: str) -> Response:
    """Call it off, in the name of ``by``."""
    return _ask(named(eval_id), why_not_cancel, cancel)


def named(eval_id: str) -> Evaluation:
    """The evaluation of that id; raises the 404."""
    found = runtime().handlers.evaluations.get(eval_id)
    if found is None:
        raise ProblemError(
            404, "No such evaluation", f"no event has told of an evaluation {eval_id[:200]!r}"
        )
    return found


def _ask(
    found: Evaluation,
    why_not: Callable[[Evaluation], str | None],
    ask: Callable[[EventBus, Evaluation, str], Receipt],
) -> Response:
    """Publish the wish and answer with the evaluation as it is after the handler took it in."""
    who = by(parameters.body_object())["by"]
    if reason := why_not(found):
        raise ProblemError(409, "Conflict", f"evaluation {found.eval_id[:200]!r}: {reason}")
    receipt = ask(runtime().bus, found, who)
    is_handled = handled(receipt)
    event = receipt.event
    return answer(
        {
            **record(named(found.eval_id)),
            "handled": is_handled,
            "event": {"id": event.id, "sequence": event.sequence},
        },
        200 if is_handled else 202,
    )


def handled(receipt: Receipt) -> bool:
    """Whether the handlers took it in within a moment; if not, it is recorded all the same."""
    try:
        receipt.deliveries(HANDLED_WITHIN_S)
    except ReceiptTimeoutError:
        return False
    return True
