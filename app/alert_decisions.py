"""What a person decides about alerts, for page and API: each decision is an event, with who."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from app.followed import followed
from app.problems import ProblemError
from app.runtime import Runtime
from eventbus import Event
from eventbus.actor import name_problem, signed
from eventbus.validation import shown
from handlers.alert import Alert, AlertHandler, State
from handlers.alert.facts import MUTE_MODES

MAX_AT_ONCE = 500

_ACTIVE: tuple[State, ...] = ("open", "regressed")
# By action its event's type, and the states that it changes.
ACTIONS: Mapping[str, tuple[str, tuple[State, ...]]] = {
    "acknowledge": ("alert.acknowledged", (*_ACTIVE, "muted")),
    "resolve": ("alert.resolved", (*_ACTIVE, "acknowledged", "muted")),
    "mute": ("alert.muted", (*_ACTIVE, "acknowledged", "muted")),
    "unmute": ("alert.unmuted", ("muted",)),
}


@dataclass(frozen=True, slots=True)
class Decided:
    """What became of a decision about several alerts, by their ids in the order asked for.

    ``events`` are those of the ``changed`` ones. Without ``is_handled`` they are recorded, and
    the alerts follow when their handler comes to it.
    """

    changed: Sequence[str]
    unchanged: Sequence[str]
    unknown: Sequence[str]
    events: Sequence[Event]
    is_handled: bool


def decide(
    parts: Runtime, action: str, ids: Sequence[str], by: str, mode: str | None = None
) -> Decided:
    """Publish the decision for each alert that it changes, all in one transaction.

    ``mode`` says how long a mute lasts. Blocks until the alerts have followed, for up to 5 s.
    """
    type, states = ACTIONS[action]
    found = {id: parts.handlers.alerts.get(id) for id in dict.fromkeys(ids)}
    changed = [alert for alert in found.values() if _is_changed(alert, states)]
    events: Sequence[Event] = ()
    is_handled = True
    if changed:
        extra = {} if mode is None else {"mode": mode}
        receipt = parts.bus.publish_many(
            {
                "type": type,
                "subject": alert.id,
                "data": {"alert_id": alert.id, **signed(by), **extra},
            }
            for alert in changed
            if alert is not None
        )
        events, is_handled = receipt.events, followed(receipt, AlertHandler.name)
    touched = {alert.id for alert in changed if alert is not None}
    return Decided(
        changed=[id for id in found if id in touched],
        unchanged=[id for id, alert in found.items() if alert is not None and id not in touched],
        unknown=[id for id, alert in found.items() if alert is None],
        events=events,
        is_handled=is_handled,
    )


def _is_changed(alert: Alert | None, states: Sequence[State]) -> bool:
    return alert is not None and alert.state in states


def checked_name(value: Any) -> str:
    """Who asks, by their own words. Raises ProblemError."""
    if (problem := name_problem(value)) is not None:
        raise wrong("by", problem)
    return str(value)


def checked_mode(value: Any) -> str:
    """How long to mute. Raises ProblemError."""
    if not isinstance(value, str) or value not in MUTE_MODES:
        raise wrong("for", f"must be one of {', '.join(MUTE_MODES)}, not {shown(value)}")
    return value


def checked_ids(value: Any) -> list[str]:
    """The ids of several alerts. Raises ProblemError."""
    is_list = isinstance(value, list) and all(isinstance(id, str) for id in value)
    if not is_list or not 1 <= len(value) <= MAX_AT_ONCE:
        given = f"{len(value)} of them" if is_list else shown(value)
        raise wrong("ids", f"must be a list of 1 to {MAX_AT_ONCE} ids of alerts, not {given}")
    return list(value)


def wrong(name: str, detail: str) -> ProblemError:
    """A 400 about one member of a small body or form."""
    error = {"pointer": f"/{name}", "detail": detail}
    return ProblemError(400, "Wrong body", f"{name} {detail}", [error])
