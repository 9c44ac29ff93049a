"""Parameters and members that several operations share, each declared once."""

from __future__ import annotations

from app.api.parameters import DEFAULT_LIMIT, MAX_LIMIT
from app.openapi import kinds
from app.openapi.fields import Field
from eventbus.actor import MAX_NAME_CHARS

MAX_REASON_CHARS = 1_000

LIMIT = Field(
    "limit", kinds.whole(1, MAX_LIMIT), "How many items a page has at most.", default=DEFAULT_LIMIT
)
CURSOR = Field("cursor", kinds.raw(), "The `next` of the page before; it stands for its place.")
TYPE = Field(
    "type",
    kinds.pattern(),
    "A pattern of types: a trailing `*` is one or more segments, `+` exactly one, `#` any number.",
    example="evaluation.*",
)
SINCE = Field(
    "since", kinds.time(), "Not before this time (RFC 3339).", example="2026-11-26T09:30:00Z"
)
UNTIL = Field("until", kinds.time(), "Before this time.", example="2026-11-26T10:30:00Z")
SUBSCRIPTION = Field("subscription", kinds.text(), "The name of a subscription.")
ERROR_CLASS = Field(
    "error_class", kinds.text(), "The class of the last error.", example="TimeoutError"
)
AT = Field(
    "at",
    kinds.raw(),
    "As it was then: a time, an age like `15m` or `2h`, or a sequence. Now when it is left out.",
    example="15m",
)
SOURCE = Field("source", kinds.text(), "Tells apart events of several producers with one id.")
TOKEN = Field(
    "token", kinds.matching("[0-9a-f]{32}", "32 hex digits"),
    "Made up by who asks, to follow the progress by.",
)  # fmt: skip

BY = Field(
    "by",
    kinds.name(MAX_NAME_CHARS),
    "Who does it, for the audit trail.",
    default=None,
    example="ann",
)
REASON = Field("reason", kinds.text(MAX_REASON_CHARS), "Why it is done, for the audit trail.")
DRY_RUN = Field("dry_run", kinds.flag(), "Only say what would happen.", default=False)

EVENT_ID = Field("event_id", kinds.text(), "The event's `id`.", example="order-1")
EVAL_ID = Field("eval_id", kinds.text(), "The evaluation's id.", example="eval-42")
ALERT_ID = Field("alert_id", kinds.text(), "The alert's `id`.")
OPERATION_ID = Field("operation_id", kinds.whole(), "The operation's `id`.", example=1)
SUBSCRIPTION_NAME = Field(
    "name", kinds.text(255), "The name of a durable subscription.", example="report-writer"
)

NO_EVENT = {404: "No event has this id."}
