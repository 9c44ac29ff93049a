"""Alerts and what a person does about them; every change is an event, with who made it."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from flask import Blueprint, Response

from app.access.guard import actor
from app.alert_decisions import ACTIONS, MAX_AT_ONCE, checked_mode, checked_name, decide
from app.api.answers.work import AlertChanged, AlertHistory, AlertPage, AlertsChanged
from app.api.common import ALERT_ID, AT, BY, CURSOR, LIMIT
from app.api.shapes import answer, page, record
from app.openapi import kinds
from app.openapi.fields import Body, Field
from app.openapi.operation import operation
from app.problems import ProblemError
from app.runtime import runtime
from app.travel import as_of, asked
from eventbus.actor import Actor
from handlers.alert import Alert
from handlers.alert.alerts import BUCKET_S
from handlers.alert.facts import MUTE_MODES
from handlers.alert.lifecycle import RANKS, STATES

NOBODY_NAMED = "somebody"
_DAY_BUCKETS = 24 * 3600 // BUCKET_S
_STATES_AFTER = {"acknowledge": "acknowledged", "resolve": "resolved"}

_TAG = "Alerts"
_STATE = Field("state", kinds.choice(STATES), "Only alerts in this state.")
_SEVERITY = Field("severity", kinds.choice(tuple(RANKS)), "Only alerts of this severity.")
_QUIET = Field("quiet", kinds.choice(("yes",)), "`yes`: only those that nobody has to look at.")
_ACTION = Field("action", kinds.choice(tuple(ACTIONS)), "What is decided.", example="acknowledge")
_FOR = Field(
    "for", kinds.choice(MUTE_MODES), "For a mute, and then needed: how long. `worse` is until the "
    "alert gets worse.", example="1h",
)  # fmt: skip
_IDS = Field(
    "ids", kinds.items(kinds.text(), "ids of alerts", MAX_AT_ONCE), "The alerts that are meant.",
    is_needed=True,
)  # fmt: skip
_EXAMPLES = {"acknowledge": {"by": "ann"}, "mute": {"by": "ann", "for": "1h"}}
_ONE = Body((BY, _FOR), _EXAMPLES)
_MANY = Body(
    (_IDS, BY, _FOR),
    {name: {"ids": ["0f3a9c"], **body} for name, body in _EXAMPLES.items()},
    is_needed=True,
)
_NO_ALERT = {404: "No alert has this id."}

blueprint = Blueprint("alerts", __name__)


@blueprint.get("/alerts")
@operation(
    "listAlerts", _TAG, query=(_STATE, _SEVERITY, _QUIET, LIMIT, CURSOR, AT),
    answers={200: AlertPage}, problems={410: "That time is not kept."},
)  # fmt: skip
def alerts() -> Response:
    """One page of alerts, the latest seen first."""
    with asked() as (handlers, moment):
        found = handlers.alerts.list(
            state=_STATE.read(),
            severity=_SEVERITY.read(),
            is_quiet=_QUIET.read() is not None,
            limit=LIMIT.read(),
            cursor=CURSOR.read(),
        )
    return page("alerts", found.items, found.next, as_of(moment))


@blueprint.get("/alerts/<alert_id>")
@operation("getAlert", _TAG, path=(ALERT_ID,), answers={200: Alert}, problems=_NO_ALERT)
def alert(alert_id: str) -> Response:
    """One alert."""
    return answer(_found(alert_id))


@blueprint.get("/alerts/<alert_id>/history")
@operation(
    "getAlertHistory", _TAG, path=(ALERT_ID,), answers={200: AlertHistory}, problems=_NO_ALERT
)
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
@operation(
    "{action}Alerts", _TAG, path=(_ACTION,), body=_MANY,
    answers={200: AlertsChanged, 202: AlertsChanged}, problems={404: "There is no such action."},
)  # fmt: skip
def change_many(action: str) -> Response:
    """Decide about several alerts at once, by their ids."""
    body = _body(action, _MANY)
    decided = decide(runtime(), action, body["ids"], body["by"], body.get("mode"))
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
@operation(
    "{action}Alert", _TAG, path=(ALERT_ID, _ACTION), body=_ONE,
    answers={200: AlertChanged, 202: AlertChanged},
    problems={404: "No alert has this id, or there is no such action.",
              409: "It is in another state."},
)  # fmt: skip
def change(alert_id: str, action: str) -> Response:
    """Decide about one alert; the answer is the alert as it is after."""
    body = _body(action, _ONE)
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


def _body(action: str, declared: Body) -> dict[str, Any]:
    """The members of a decision, checked: ``by``, ``mode`` of a mute, and the others as given."""
    if action not in ACTIONS:
        detail = f"there is no action {action[:40]!r}; there are {', '.join(ACTIONS)}"
        raise ProblemError(404, "Not Found", detail)
    body = declared.read()
    mode = {"mode": checked_mode(body.get("for"))} if action == "mute" else {"mode": None}
    return {**body, **by(body), **mode}


def _found(alert_id: str) -> Alert:
    found = runtime().handlers.alerts.get(alert_id)
    if found is None:
        raise ProblemError(404, "Not Found", f"there is no alert {alert_id[:100]!r}")
    return found


def by(body: dict[str, Any]) -> dict[str, Any]:
    """Who asks: who has signed in, or where nobody does what they say themselves."""
    name = body.get("by")
    claimed = "" if name is None else checked_name(name)
    return {"by": actor(claimed) or Actor(NOBODY_NAMED)}
