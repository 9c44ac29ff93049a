"""The pages of evaluations: the list by state, and everything known about one."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from flask import Blueprint, redirect, request
from werkzeug.wrappers import Response

from app.pages.attempts import attempts, bars, lifecycle
from app.pages.filters import as_of, evaluation_href
from app.pages.frame import CURL, render, with_query
from app.pages.travel import lasting, page_models, problem_page, travels
from app.problems import ProblemError
from app.runtime import runtime
from eventbus.errors import TravelError
from eventbus.log import EventQuery
from handlers import Handlers
from handlers.evaluation.lifecycle import STATES, State
from handlers.travel import PastHandlers

PAGE_SIZE = 50
_EVENTS_SHOWN = 50
_FILES_SHOWN = 100

blueprint = Blueprint("evaluations_page", __name__)


@blueprint.get("/evaluations")
def evaluations() -> str | Response | tuple[str, int]:
    """Evaluations, newest first, of all states or one; now or as of ``?at=``."""
    wanted = request.args.get("eval_id", "").strip()
    if wanted:  # the field "go to" of the page
        return redirect(evaluation_href(wanted))
    try:
        if address := lasting():
            return address
        with page_models("/evaluations") as (handlers, travel):
            return _list(handlers, travel)
    except (TravelError, ProblemError) as error:
        if not travels():
            raise
        return problem_page("/evaluations", "evaluations", error)


def _list(handlers: Handlers | PastHandlers, travel: dict[str, Any]) -> str:
    state: State | None = next((s for s in STATES if s == request.args.get("state")), None)
    cursor = request.args.get("cursor")
    page = handlers.evaluations.list(state, limit=PAGE_SIZE, cursor=cursor)
    body = '{"type": "evaluation.started", "data": {"eval_id": "eval-1", "task": "gsm8k"}}'
    return render(
        "evaluations.html",
        "evaluations",
        evaluations=page.items,
        state=state,
        states=STATES,
        counts=handlers.evaluations.counts(),
        next_href=as_of(with_query("/evaluations", state=state, cursor=page.next), travel["moment"])
        if page.next
        else None,
        first_href=as_of(with_query("/evaluations", state=state), travel["moment"])
        if cursor
        else None,
        **travel,
        example=CURL.format(base=request.host_url.rstrip("/"), body=body),
    )


@blueprint.get("/evaluations/by-id")
def evaluation_by_id() -> str:
    """The same as the page below, for ids that no path can hold."""
    return evaluation(request.args.get("eval_id", ""))


@blueprint.get("/evaluations/<path:eval_id>")
def evaluation(eval_id: str) -> str:
    """One evaluation: its state, attempts, result or error, files and events."""
    parts = runtime()
    found = parts.handlers.evaluations.get(eval_id)
    if found is None:
        raise ProblemError(
            404, "No such evaluation", f"no event has told of an evaluation {eval_id[:200]!r}"
        )
    spans = attempts(lifecycle(parts.bus.log, eval_id))
    events = parts.bus.log.query(EventQuery(subject=eval_id, limit=_EVENTS_SHOWN))
    return render(
        "evaluation.html",
        "evaluations",
        evaluation=found,
        bars=bars(spans, datetime.now(UTC)),
        events=events.events,
        has_more_events=events.next is not None,
        files=parts.handlers.files.list(eval_id, limit=_FILES_SHOWN),
        totals=parts.handlers.files.totals(eval_id),
    )
