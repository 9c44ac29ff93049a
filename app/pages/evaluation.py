"""The page of one evaluation: where it stands, how it came there, and what can be asked of it."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from flask import Blueprint, render_template, request
from werkzeug.wrappers import Response

from app.evaluation_requests import REQUESTS, ask, named
from app.pages.attempts import AttemptSpan, attempts, bars, lifecycle
from app.pages.caused import MOST_OPEN, caused_by
from app.pages.filters import evaluation_href
from app.pages.frame import back_to, is_htmx, render
from app.pages.machine import draw, visits
from app.pages.measures import measures, tokens
from app.pages.travel import lasting, page_models, problem_page, travels
from app.pages.who import who
from app.problems import ProblemError
from app.runtime import runtime
from eventbus.errors import TravelError
from eventbus.log import EventQuery
from handlers import Handlers
from handlers.evaluation import Evaluation
from handlers.travel import PastHandlers, Place

Answer = str | Response | tuple[str, int]

_EVENTS_READ = 1_000
_EVENTS_SHOWN = 50
_FILES_SHOWN = 100
_VISITS_TOLD = 30

blueprint = Blueprint("evaluation_page", __name__)


@blueprint.get("/evaluations/by-id")
def evaluation_by_id() -> Answer:
    """The same as the page below, for ids that no path can hold."""
    return evaluation(request.args.get("eval_id", ""))


@blueprint.get("/evaluations/<path:eval_id>")
def evaluation(eval_id: str) -> Answer:
    """One evaluation, now or as of ``?at=``.

    ``?attempt=`` chooses which attempt is unfolded, "all" the newest twenty.
    """
    try:
        if address := lasting():
            return address
        with page_models(request.path) as (handlers, travel):
            place = travel["moment"]
            known = None if place is None else handlers.evaluations
            context = _context(named(eval_id, known), handlers, place)
            return render("evaluation.html", "evaluations", who=who(), **travel, **context)
    except (TravelError, ProblemError) as error:
        if not travels():
            raise
        return problem_page(request.path, "evaluations", error)


@blueprint.post("/evaluations/ask/<action>")
def change(action: str) -> str | Response:
    """Retry or cancel the evaluation that the form names, in the name of who sits there."""
    if action not in REQUESTS:
        raise ProblemError(404, "Not Found", f"there is no action {action[:40]!r} of an evaluation")
    found = named(request.form.get("eval_id", ""))
    try:
        ask(found, action, who())
        said = None
    except ProblemError as error:
        if error.status != 409 or not is_htmx():
            raise
        said = error.detail  # somebody was faster; what the page shows next says how it stands
    if not is_htmx():
        return back_to(evaluation_href(found.eval_id))
    context = _context(named(found.eval_id), runtime().handlers)
    return render_template("evaluation/_one.html", said=said, **context)


def _context(
    found: Evaluation, handlers: Handlers | PastHandlers, place: Place | None = None
) -> dict[str, Any]:
    parts = runtime()
    log = parts.bus.log
    upto = None if place is None else place.position
    events = lifecycle(parts, found, handlers.evaluations)
    spans = attempts(events)
    way = visits(events, parts.settings.max_retries)
    before = None if upto is None else upto + 1
    own = log.query(EventQuery(subject=found.eval_id, before=before, limit=_EVENTS_READ))
    opened = _opened(spans, request.args.get("attempt", ""))
    return {
        "evaluation": found,
        "refusals": {action: each.why_not(found) for action, each in REQUESTS.items()},
        "drawings": [draw(way, "wide"), draw(way, "tall")],
        "visits": way[-_VISITS_TOLD:],
        "bars": bars(spans, (place and place.at) or datetime.now(UTC)),
        "caused": {
            spans[index].number: caused_by(parts.bus, spans, index, upto) for index in opened
        },
        "has_more_open": len(opened) < min(len(spans), MOST_OPEN),
        "measures": measures(own.events),
        "tokens": tokens(found),
        "events": own.events[:_EVENTS_SHOWN],
        "has_more_events": len(own.events) > _EVENTS_SHOWN,
        "files": handlers.files.list(found.eval_id, limit=_FILES_SHOWN),
        "totals": handlers.files.totals(found.eval_id),
    }


def _opened(spans: list[AttemptSpan], wanted: str) -> list[int]:
    """The indexes of the attempts to unfold: the one asked for, all, or the newest that began."""
    if wanted == "all":
        return [*range(len(spans))][-MOST_OPEN:]
    chosen = [index for index, span in enumerate(spans) if str(span.number) == wanted]
    begun = [index for index, span in enumerate(spans) if span.started_at or span.ended_by]
    return chosen or begun[-1:]
