"""The ``notification.*`` types: what was sent, failed to be sent or was held back."""

from __future__ import annotations

from collections.abc import Iterator

from eventbus.catalogue import Declaration
from eventbus.catalogue.fields import BY, Schema, declared, flag, number, record, text, whole
from handlers.notify.delivery import FAILED, HELD, SENT, SUMMARY

OWNER = "Notifications"

_EXAMPLE = {
    "channel": "ops", "kind": "slack", "title": "[critical] sandbox: DiskFull raised",
    "alert_id": "alert-0f3c9ab2d4e61b77", "change": "raised", "severity": "critical",
}  # fmt: skip


def _outcome(**more: Schema) -> Schema:
    return record(
        "channel kind title",
        channel=text("its name"), kind=text("webhook, slack or email"), title=text("what it said"),
        alert_id=text("which alert"), change=text("what had become of it"),
        severity=text("how bad it is"), is_test=flag("somebody tried the channel"), by=BY, **more,
    )  # fmt: skip


def _types() -> Iterator[Declaration]:
    took = number("how long it took")
    yield declared(
        SENT, "A notification was sent", "The channel has taken it.",
        _outcome(answer=text("what it answered"), duration_ms=took, count=whole("how many in one")),
        {**_EXAMPLE, "answer": "200 OK", "duration_ms": 182.4}, OWNER,
    )  # fmt: skip
    yield declared(
        FAILED, "A notification was not sent", "The channel did not take it.",
        _outcome(error=text("why"), attempt=whole("which attempt", 1),
                 will_retry=flag("it is tried again")),
        {**_EXAMPLE, "error": "it answered 503", "attempt": 1, "will_retry": True}, OWNER,
    )  # fmt: skip
    yield declared(
        HELD, "A notification waits for a summary", "The channel has its limit.",
        _outcome(summary=text("which summary it will be in")),
        {**_EXAMPLE, "summary": "summary-ops-1"}, OWNER,
    )  # fmt: skip
    yield declared(
        SUMMARY, "A summary is due", "It tells what was held back, in one notification.",
        record("channel summary", channel=text("its name"), summary=text("which summary")),
        {"channel": "ops", "summary": "summary-ops-1"}, OWNER,
    )  # fmt: skip


TYPES = tuple(_types())
