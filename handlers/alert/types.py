"""The ``alert.*`` types: occurrences that are grouped, and what people decide about them."""

from __future__ import annotations

from collections.abc import Iterator

from eventbus.catalogue import Declaration
from eventbus.catalogue.fields import BY, Schema, anything, declared, name, record, text, whole
from handlers.alert.facts import MUTE_MODES
from handlers.alert.handler import REQUEST
from handlers.alert.lifecycle import RANKS
from handlers.payload import MAX_IDENTIFIER_CHARS

OWNER = "Alerts"

_ALERT_ID = name("which alert", MAX_IDENTIFIER_CHARS)
_OCCURRENCE = record(
    "service error",
    service=anything("who has the trouble: with the error's type, what alerts are grouped by"),
    error={
        "description": "what is wrong: an object, or a text",
        "properties": {
            "type": {"description": "its class: with the service, what alerts are grouped by"},
            "message": {"description": "in words"},
        },
    },
    eval_id=anything("the evaluation that it is about"),
)
_DECISIONS = {
    "acknowledged": ("Somebody looks after an alert", "It is open no more, and not yet resolved."),
    "resolved": ("An alert is resolved", "If it occurs again, it has regressed."),
    "unmuted": ("A mute has ended", "It asks for somebody again."),
}
_MUTE: Schema = {
    **record("alert_id", alert_id=_ALERT_ID, by=BY,
             mode={"description": f"for how long: {', '.join(MUTE_MODES)}"},
             until={"description": "until when, an RFC 3339 date-time; else mode says it"}),
    "anyOf": [
        {"required": ["until"],
         "properties": {"until": {"type": "string", "format": "date-time"}}},
        {"required": ["mode"],
         "properties": {"mode": {"enum": list(MUTE_MODES)}, "until": {"type": "null"}}},
    ],
}  # fmt: skip


def _types() -> Iterator[Declaration]:
    example = {
        "service": "sandbox",
        "error": {"type": "DiskFull", "message": "no space left on /mnt/results"},
    }
    for severity in RANKS:
        yield declared(
            f"alert.{severity}", f"Something is wrong ({severity})",
            "An occurrence of an alert; those of one service and type of error are one.",
            _OCCURRENCE, example, OWNER,
        )  # fmt: skip
    for kind, (title, what) in _DECISIONS.items():
        yield declared(
            f"alert.{kind}", title, what, record("alert_id", alert_id=_ALERT_ID, by=BY),
            {"alert_id": "alert-0f3c9ab2d4e61b77", "by": "ann"}, OWNER,
        )  # fmt: skip
    yield declared(
        "alert.muted", "An alert is silent", "For a time, or until it worsens.",
        _MUTE, {"alert_id": "alert-0f3c9ab2d4e61b77", "by": "ann", "mode": "24h"}, OWNER,
    )  # fmt: skip
    yield declared(
        REQUEST, "Somebody is to be told of an alert",
        "What a notification says, as of the change that it is about.",
        record(
            "alert_id change severity state service error_type",
            alert_id=_ALERT_ID, change=text("raised, regressed, resolved, …"),
            severity=text("how bad it is"), state=text("of the alert"),
            service=text("of the alert"), error_type=text("of the alert"), error=text("its words"),
            eval_id=text("if it has one"),
            occurrences=whole("so far"), by=BY,
        ),
        {"alert_id": "alert-0f3c9ab2d4e61b77", "change": "raised", "severity": "critical",
         "state": "open", "service": "sandbox", "error_type": "DiskFull",
         "error": "no space left on /mnt/results", "eval_id": None, "occurrences": 1, "by": None},
        OWNER,
    )  # fmt: skip


TYPES = tuple(_types())
