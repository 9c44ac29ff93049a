"""What is scheduled: looking at it, and taking it back, which is recorded with who did it."""

from __future__ import annotations

import json

from flask import Blueprint, Response

from app.api import parameters
from app.api.alerts import by
from app.api.shapes import answer, event_list, raw
from app.problems import ProblemError
from app.runtime import runtime

COMMIT_TIMEOUT_S = 30.0

blueprint = Blueprint("scheduled", __name__)


@blueprint.get("/scheduled")
def scheduled() -> Response:
    """One page of scheduled events, the next one due first; each tells ``at``, when it is due."""
    page = runtime().bus.log.schedules.page(parameters.limit(), cursor=parameters.text("cursor"))
    return raw(f'{{"scheduled":{event_list(page.events)},"next":{json.dumps(page.next)}}}')


@blueprint.get("/scheduled/<path:event_id>")
def one(event_id: str) -> Response:
    """One scheduled event; ``source`` chooses where several producers used the same id."""
    found = runtime().bus.log.schedules.find(event_id, parameters.text("source"))
    if not found:
        raise _not_scheduled(event_id)
    return raw(found[0].to_json())


@blueprint.delete("/scheduled/<path:event_id>")
def cancel(event_id: str) -> Response:
    """Cancel what is scheduled under an id; only of ``source`` when it is given."""
    named = by(parameters.body_object())["by"]
    cancelled = runtime().bus.cancel(event_id, source=parameters.text("source"), by=named)
    if not cancelled.wait(COMMIT_TIMEOUT_S):
        raise _not_scheduled(event_id)
    return answer({"id": event_id, "cancelled": True})


def _not_scheduled(event_id: str) -> ProblemError:
    return ProblemError(
        404,
        "Not Found",
        f"nothing is scheduled under the id {event_id[:100]!r}; it may have been recorded already",
    )
