"""What is scheduled: looking at it, and taking it back, which is recorded with who did it."""

from __future__ import annotations

import json

from flask import Blueprint, Response

from app.access.publishing import check_cancel
from app.api.alerts import by
from app.api.answers.events import CloudEvent, ScheduleCancelled, ScheduledPage
from app.api.common import BY, CURSOR, EVENT_ID, LIMIT, SOURCE
from app.api.shapes import answer, event_list, raw
from app.openapi.fields import Body
from app.openapi.operation import operation
from app.problems import ProblemError
from app.runtime import runtime

COMMIT_TIMEOUT_S = 30.0

_TAG = "Scheduled events"
_BODY = Body((BY,), {"with a name": {"by": "ann"}})
_NOTHING = {404: "Nothing is scheduled under this id."}

blueprint = Blueprint("scheduled", __name__)


@blueprint.get("/scheduled")
@operation("listScheduled", _TAG, query=(LIMIT, CURSOR), answers={200: ScheduledPage})
def scheduled() -> Response:
    """One page of scheduled events, the next one due first; each tells ``at``, when it is due."""
    page = runtime().bus.log.schedules.page(LIMIT.read(), cursor=CURSOR.read())
    return raw(f'{{"scheduled":{event_list(page.events)},"next":{json.dumps(page.next)}}}')


@blueprint.get("/scheduled/<path:event_id>")
@operation(
    "getScheduled", _TAG, path=(EVENT_ID,), query=(SOURCE,), answers={200: CloudEvent},
    problems=_NOTHING,
)  # fmt: skip
def one(event_id: str) -> Response:
    """One scheduled event; ``source`` chooses where several producers used the same id."""
    found = runtime().bus.log.schedules.find(event_id, SOURCE.read())
    if not found:
        raise _not_scheduled(event_id)
    return raw(found[0].to_json())


@blueprint.delete("/scheduled/<path:event_id>")
@operation(
    "cancelScheduled", _TAG, path=(EVENT_ID,), query=(SOURCE,), body=_BODY,
    answers={200: ScheduleCancelled}, problems=_NOTHING,
)  # fmt: skip
def cancel(event_id: str) -> Response:
    """Cancel what is scheduled under an id; only of ``source`` when it is given.

    A token that is bound to types takes back only what it may publish.
    """
    named, source = by(_BODY.read())["by"], SOURCE.read()
    check_cancel(event_id, source)
    cancelled = runtime().bus.cancel(event_id, source=source, by=named)
    if not cancelled.wait(COMMIT_TIMEOUT_S):
        raise _not_scheduled(event_id)
    return answer({"id": event_id, "cancelled": True})


def _not_scheduled(event_id: str) -> ProblemError:
    return ProblemError(
        404,
        "Not Found",
        f"nothing is scheduled under the id {event_id[:100]!r}; it may have been recorded already",
    )
