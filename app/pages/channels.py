"""The page of notification channels: where changes of alerts are told, and how that goes."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from flask import Blueprint, render_template
from werkzeug.wrappers import Response

from app.pages.frame import back_to, is_htmx, render
from app.pages.who import who
from app.problems import ProblemError
from app.runtime import runtime
from eventbus import Event
from handlers.alert.changes import CHANGES
from handlers.errors import NotificationError
from handlers.notify.channels import SEVERITIES
from handlers.notify.notifier import ChannelState

_RECENT = 30
_FRESH = timedelta(minutes=1)
_EXAMPLE = r"""
EVENTBUS_NOTIFY='ops slack https://hooks.slack.com/services/T0/B0/XXXX for critical' \
  make run
""".strip()

blueprint = Blueprint("channels_page", __name__)


@blueprint.get("/alerts/channels")
def channels() -> str:
    """Every channel with its rules, its last successes and failures, and what was told lately."""
    return render("channels.html", "alerts", **_context())


@blueprint.post("/alerts/channels/<name>/test")
def test(name: str) -> str | Response:
    """Send a test now; what came of it stands on the page for a minute, as it does for all."""
    try:
        runtime().notifier.test(name, who())
    except KeyError:
        raise ProblemError(404, "No such channel", f"there is no channel {name[:40]!r}") from None
    except NotificationError:
        pass  # recorded, and shown from there
    if not is_htmx():
        return back_to("/alerts/channels")
    return render_template("channels/_list.html", **_context())


def _context() -> dict[str, Any]:
    notifier = runtime().notifier
    states = notifier.states()
    return {
        "states": states,
        "tests": {state.channel.name: _fresh_test(state) for state in states},
        "recent": notifier.recent(_RECENT),
        "limit": notifier.settings.limit,
        "attempts": notifier.settings.max_attempts,
        "severities": SEVERITIES,
        "all_changes": CHANGES,
        "example": _EXAMPLE,
    }


def _fresh_test(state: ChannelState) -> Event | None:
    """The last outcome of a channel, when that was a test just now."""
    outcomes = [each for each in (state.last_sent, state.last_failed) if each is not None]
    last = max(outcomes, key=lambda event: event.sequence or 0, default=None)
    if last is None or not last.get("is_test") or datetime.now(UTC) - last.time > _FRESH:
        return None
    return last
