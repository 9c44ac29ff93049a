"""What an ``alert.*`` event says, checked: the input of the lifecycle."""

from __future__ import annotations

from typing import Any, Literal, cast

from eventbus import Event
from eventbus.timestamps import parse_time, to_microseconds
from handlers import payload
from handlers.alert import fingerprint as prints
from handlers.alert.lifecycle import RANKS, Decision, Fact, Occurrence, Severity
from handlers.errors import MalformedEventError

DECISIONS: dict[str, Literal["acknowledged", "resolved", "muted", "unmuted"]] = {
    "alert.acknowledged": "acknowledged",
    "alert.resolved": "resolved",
    "alert.muted": "muted",
    "alert.unmuted": "unmuted",
}
MUTE_MODES = ("1h", "24h", "worse")
_HOUR_US = 3_600_000_000
_MUTE_US = {"1h": _HOUR_US, "24h": 24 * _HOUR_US}
_NO_SERVICE = "unknown"


def read(event: Event) -> Fact | None:
    """The fact of a recorded event, None for a type that does not touch an alert.

    Raises MalformedEventError for a decision that names no alert, or a mute without an end.
    """
    action = event.type.partition(".")[2]
    if action in RANKS:
        return _occurrence(event, cast(Severity, action))
    kind = DECISIONS.get(event.type)
    if kind is None:
        return None
    time = to_microseconds(event.time)
    return Decision(
        alert_id=payload.identifier(event, "alert_id"),
        sequence=event.sequence or 0,
        time=time,
        kind=kind,
        by=payload.label(event.data.get("by")),
        until=_until(event, time) if kind == "muted" else None,
    )


def key(event: Event) -> str:
    """The ordering key: the alert's id, which occurrences give by their fingerprint."""
    data = event.data
    if event.type in DECISIONS:
        return str(data.get("alert_id", event.subject))
    return prints.alert_id(prints.fingerprint(*_group(data)))


def _group(data: dict[str, Any]) -> tuple[str, str]:
    return payload.label(data.get("service")) or _NO_SERVICE, prints.error_type(data.get("error"))


def _occurrence(event: Event, severity: Severity) -> Occurrence:
    data = event.data
    service, error_type = _group(data)
    print_ = prints.fingerprint(service, error_type)
    return Occurrence(
        alert_id=prints.alert_id(print_),
        sequence=event.sequence or 0,
        time=to_microseconds(event.time),
        fingerprint=print_,
        service=service,
        error_type=error_type,
        severity=severity,
        error=payload.to_json(data.get("error")),
        eval_id=payload.label(data.get("eval_id"), payload.MAX_IDENTIFIER_CHARS),
    )


def _until(event: Event, time: int) -> int | None:
    """The end of a mute: the given time, else by its mode; None until it worsens."""
    until, mode = event.data.get("until"), event.data.get("mode")
    if until is not None:
        try:
            return to_microseconds(parse_time(until))
        except (TypeError, ValueError) as error:
            raise MalformedEventError(event, "until", str(error), until) from None
    if mode == "worse":
        return None
    if not isinstance(mode, str) or mode not in _MUTE_US:
        rule = f'must be one of {", ".join(MUTE_MODES)} when there is no "until"'
        raise MalformedEventError(event, "mode", rule, mode)
    return time + _MUTE_US[mode]
