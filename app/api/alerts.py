"""Alerts and what a person does about them; every change is an event, with who made it."""

from __future__ import annotations

from typing import Any

from flask import Blueprint, Response

from app.api import parameters
from app.api.shapes import answer, page, record
from app.problems import ProblemError
from app.runtime import runtime
from eventbus.errors import ReceiptTimeoutError
from eventbus.validation import shown
from handlers.alert.facts import MUTE_MODES
from handlers.alert.lifecycle import STATES

NOBODY_NAMED = "somebody"
MAX_NAME_CHARS = 100
HANDLED_WITHIN_S = 5.0

blueprint = Blueprint("alerts", __name__)


@blueprint.get("/alerts")
def alerts() -> Response:
    """One page of alerts, the latest seen first."""
    found = runtime().handlers.alerts.list(
        state=parameters.choice("state", STATES),
        limit=parameters.limit(),
        cursor=parameters.text("cursor"),
    )
    return page("alerts", found.items, found.next)


@blueprint.get("/alerts/<alert_id>")
def alert(alert_id: str) -> Response:
    """One alert."""
    return answer(_found(alert_id))


@blueprint.post("/alerts/<alert_id>/acknowledge")
def acknowledge(alert_id: str) -> Response:
    """Say that somebody (``by``) looks after it."""
    return _change(alert_id, "alert.acknowledged", "acknowledged", by(parameters.body_object()))


@blueprint.post("/alerts/<alert_id>/resolve")
def resolve(alert_id: str) -> Response:
    """Say that it is over; the next occurrence reopens it as regressed."""
    return _change(alert_id, "alert.resolved", "resolved", by(parameters.body_object()))


@blueprint.post("/alerts/<alert_id>/mute")
def mute(alert_id: str) -> Response:
    """Hide it ``for`` an hour, for a day, or until it gets worse."""
    body = parameters.body_object()
    span = body.get("for")
    if not isinstance(span, str) or span not in MUTE_MODES:
        detail = f"must be one of {', '.join(MUTE_MODES)}, not {shown(span)}"
        raise ProblemError(
            400, "Wrong body", f"for {detail}", [{"pointer": "/for", "detail": detail}]
        )
    return _change(alert_id, "alert.muted", "muted", {"mode": span, **by(body)})


def _change(alert_id: str, type: str, state: str, data: dict[str, Any]) -> Response:
    """Publish the change and answer with the alert as it is after the handler took it in."""
    found = _found(alert_id)
    if found.state == "resolved" and state != "resolved":
        raise ProblemError(409, "Conflict", f"alert {alert_id} is resolved; only open ones can be")
    if found.state == state and state != "muted":
        return answer(found)  # somebody was faster; the audit trail has their name
    bus = runtime().bus
    receipt = bus.publish(type, {"alert_id": found.id, **data}, subject=found.id)
    try:
        receipt.deliveries(HANDLED_WITHIN_S)
    except ReceiptTimeoutError:
        is_handled = False
    else:
        is_handled = True
    event = receipt.event
    return answer(
        {
            **record(_found(alert_id)),
            "handled": is_handled,
            "event": {"id": event.id, "sequence": event.sequence},
        },
        200 if is_handled else 202,
    )


def _found(alert_id: str) -> Any:
    found = runtime().handlers.alerts.get(alert_id)
    if found is None:
        raise ProblemError(404, "Not Found", f"there is no alert {alert_id[:100]!r}")
    return found


def by(body: dict[str, Any]) -> dict[str, Any]:
    """Who asks. There is no login yet, so this is what they say themselves."""
    by = body.get("by", NOBODY_NAMED)
    if not (isinstance(by, str) and by.strip() and by.isprintable() and len(by) <= MAX_NAME_CHARS):
        detail = f"must be 1 to {MAX_NAME_CHARS} printable characters, not {shown(by)}"
        raise ProblemError(
            400, "Wrong body", f"by {detail}", [{"pointer": "/by", "detail": detail}]
        )
    return {"by": by}
