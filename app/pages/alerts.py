"""The page of alerts and its three buttons; each decision is an event, with who made it."""

from __future__ import annotations

from contextlib import suppress
from typing import Any

from flask import Blueprint, render_template, request
from werkzeug.wrappers import Response

from app.pages.frame import back_to, is_htmx, render, with_query
from app.problems import ProblemError
from app.runtime import runtime
from eventbus.errors import ReceiptTimeoutError
from handlers.alert.facts import MUTE_MODES
from handlers.alert.lifecycle import STATES, State

PAGE_SIZE = 50
HANDLED_WITHIN_S = 5.0
WHO = "dashboard"  # there is no login yet, so the screen is as much as is known
_MOST_LIVE = 50

blueprint = Blueprint("alerts_page", __name__)


@blueprint.get("/alerts")
def alerts() -> str:
    """Alerts that changed last first, of all states or one; "open" has the regressed ones too."""
    return render("alerts.html", "alerts", **_list_context(request.args.get("state")))


@blueprint.post("/alerts/<alert_id>/acknowledge")
def acknowledge(alert_id: str) -> str | Response:
    """Somebody looks after it."""
    return _decide(alert_id, "alert.acknowledged", {})


@blueprint.post("/alerts/<alert_id>/resolve")
def resolve(alert_id: str) -> str | Response:
    """It is over; the next occurrence reopens it as regressed."""
    return _decide(alert_id, "alert.resolved", {})


@blueprint.post("/alerts/<alert_id>/mute")
def mute(alert_id: str) -> str | Response:
    """Silent for an hour, a day, or until it gets worse."""
    mode = request.form.get("for", "")
    if mode not in MUTE_MODES:
        allowed = ", ".join(MUTE_MODES)
        raise ProblemError(400, "Wrong form", f"for must be one of {allowed}, not {mode[:40]!r}")
    return _decide(alert_id, "alert.muted", {"mode": mode})


@blueprint.post("/alerts/<alert_id>/unmute")
def unmute(alert_id: str) -> str | Response:
    """Speak up again; it is open when it occurred while it was muted."""
    return _decide(alert_id, "alert.unmuted", {})


def _decide(alert_id: str, type: str, data: dict[str, Any]) -> str | Response:
    parts = runtime()
    found = parts.handlers.alerts.get(alert_id)
    if found is None:
        raise ProblemError(404, "No such alert", f"there is no alert {alert_id[:100]!r}")
    receipt = parts.bus.publish(
        type, {"alert_id": found.id, "by": WHO, **data}, subject=found.fingerprint
    )
    # Not handled in time is no error: it is recorded, and what is shown next is the state until
    # the handler comes to it.
    with suppress(ReceiptTimeoutError):
        receipt.deliveries(HANDLED_WITHIN_S)
    if not is_htmx():
        return back_to("/alerts")
    if request.args.get("view") == "live":
        return render_template(
            "live/_alerts.html", alerts=parts.handlers.alerts.list("open", _MOST_LIVE).items
        )
    return render_template("alerts/_list.html", **_list_context(request.args.get("state")))


def _list_context(wanted: str | None) -> dict[str, Any]:
    parts = runtime()
    state: State | None = next((each for each in STATES if each == wanted), None)
    cursor = request.args.get("cursor")
    page = parts.handlers.alerts.list(state, limit=PAGE_SIZE, cursor=cursor)
    return {
        "alerts": page.items,
        "state": state,
        "states": STATES,
        "counts": {"open": parts.handlers.alerts.open_count()},
        "here": with_query("/alerts", state=state, cursor=cursor),
        "query": with_query("", state=state, cursor=cursor),
        "next_href": with_query("/alerts", state=state, cursor=page.next) if page.next else None,
        "first_href": with_query("/alerts", state=state) if cursor else None,
    }
