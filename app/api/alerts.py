"""Alerts and what a person does about them; every change is an event, with who made it."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from flask import Blueprint, Response

from app.alert_decisions import ACTIONS, checked_ids, checked_mode, checked_name, decide
from app.api import parameters
from app.api.shapes import answer, page, record
from app.problems import ProblemError
from app.runtime import runtime
from app.travel import as_of, asked
from handlers.alert import Alert
from handlers.alert.alerts import BUCKET_S
from handlers.alert.lifecycle import RANKS, STATES

NOBODY_NAMED = "somebody"
_DAY_BUCKETS = 24 * 3600 // BUCKET_S
_STATES_AFTER = {"acknowledge": "acknowledged", "resolve": "resolved"}

blueprint = Blueprint("alerts", __name__)


@blueprint.get("/alerts")
def alerts() -> Response:
    """One page of alerts, the latest seen first."""
    with asked() as (handlers, moment):
        found = handlers.alerts.list(
            state=parameters.choice("state", STATES),
            severity=parameters.choice("severity", tuple(RANKS)),
            is_quiet=parameters.choice("quiet", ("yes",)) is not None,
            limit=parameters.limit(),
            cursor=parameters.text("cursor"),
        )
    return page("alerts", found.items, found.next, as_of(moment))


@blueprint.get("/alerts/<alert_id>")
def alert(alert_id: str) -> Response:
    """One alert."""
    return answer(_found(alert_id))


@blueprint.get("/alerts/<alert_id>/history")
def history(alert_id: str) -> Response:
    """What became of one alert and by whom, its latest occurrences, and how many when."""
    found, of = _found(alert_id), runtime().handlers.alerts
    rhythm = of.rhythm([found.id], datetime.now(UTC), _DAY_BUCKETS)[found.id]
    return answer(
        {
            "changes": of.history(found.id),
            "occurrences": of.occurrences(found.id),
            "last_24h": {"bucket_s": BUCKET_S, "counts": rhythm},
        }
    )


@blueprint.post("/alerts/<action>")
def change_many(action: str) -> Response:
    """Acknowledge, resolve, mute or unmute the alerts with these ``ids``, all at once."""
    body = _body(action)
    ids = checked_ids(body.get("ids"))
    decided = decide(runtime(), action, ids, body["by"], body.get("mode"))
    return answer(
        {
            "changed": decided.changed,
            "unchanged": decided.unchanged,
            "unknown": decided.unknown,
            "handled": decided.is_handled,
        },
        200 if decided.is_handled else 202,
    )


@blueprint.post("/alerts/<alert_id>/<action>")
def change(alert_id: str, action: str) -> Response:
    """Acknowledge, resolve, mute or unmute one alert; the answer is the alert as it is after."""
    body = _body(action)
    found = _found(alert_id)
    if found.state == "resolved" and action != "resolve":
        raise ProblemError(409, "Conflict", f"alert {alert_id} is resolved; only open ones can be")
    if action == "unmute" and found.state != "muted":
        raise ProblemError(409, "Conflict", f"alert {alert_id} is {found.state}, not muted")
    if found.state == _STATES_AFTER.get(action):
        return answer(found)  # somebody was faster; the audit trail has their name
    decided = decide(runtime(), action, [found.id], body["by"], body.get("mode"))
    now = {**record(_found(alert_id)), "handled": decided.is_handled}
    if decided.events:
        event = decided.events[0]
        now["event"] = {"id": event.id, "sequence": event.sequence}
    return answer(now, 200 if decided.is_handled else 202)


def _body(action: str) -> dict[str, Any]:
    """The members of a decision, checked: ``by``, ``mode`` of a mute, and the others as given."""
    if action not in ACTIONS:
        detail = f"there is no action {action[:40]!r}; there are {', '.join(ACTIONS)}"
        raise ProblemError(404, "Not Found", detail)
    body = parameters.body_object()
    mode = {"mode": checked_mode(body.get("for"))} if action == "mute" else {"mode": None}
    return {**body, **by(body), **mode}


def _found(alert_id: str) -> Alert:
    found = runtime().handlers.alerts.get(alert_id)
    if found is None:
        raise ProblemError(404, "Not Found", f"there is no alert {alert_id[:100]!r}")
    return found


def by(body: dict[str, Any]) -> dict[str, Any]:
    """Who asks. There is no login yet, so this is what they say themselves."""
    return {"by": checked_name(body.get("by", NOBODY_NAMED))}
