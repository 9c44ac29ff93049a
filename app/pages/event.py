"""The page of one event: payload, envelope, what handlers did with it, what it caused."""

from __future__ import annotations

from flask import Blueprint, request

from app.pages.chain import chain_of, deliveries_of
from app.pages.frame import render
from app.pages.takeaway import as_curl
from app.problems import ProblemError
from app.runtime import runtime
from eventbus import Event

blueprint = Blueprint("event_page", __name__)


@blueprint.get("/events/<path:event_id>")
def event(event_id: str) -> str:
    """By id; ``?source=`` chooses where several producers used the same one."""
    found = runtime().bus.log.get(event_id, request.args.get("source"))
    if found is None:
        raise ProblemError(404, "No such event", f"the log has no event with the id {event_id!r}")
    return _page(found)


@blueprint.get("/events/at/<int:sequence>")
def event_at(sequence: int) -> str:
    """By its place in the log."""
    log = runtime().bus.log
    found = log.get_by_sequence(sequence) if sequence < 2**63 else None
    if found is None:
        if 0 < sequence <= log.removed_upto:
            detail = f"event #{sequence} was removed by retention"
        else:
            detail = f"the log has no event #{sequence}; its newest is #{log.last_sequence}"
        raise ProblemError(404, "No such event", detail)
    return _page(found)


def _page(event: Event) -> str:
    parts = runtime()
    again = {"type": event.type, "subject": event.subject, "data": event.data}
    return render(
        "event.html",
        "events",
        event=event,
        deliveries=deliveries_of(parts.bus, event),
        chain=chain_of(parts.bus, event),
        curl=as_curl(request.host_url.rstrip("/"), again),
        evaluation=parts.handlers.evaluations.get(event.subject),
    )
