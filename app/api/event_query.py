"""The filter of the history in a request's parameters."""

from __future__ import annotations

from typing import Literal

from app.api.common import SINCE, TYPE, UNTIL
from app.openapi import kinds
from app.openapi.fields import Field
from eventbus.log import EventQuery

SUBJECT = Field("subject", kinds.text(), "What the event is about.", example="eval-42")
CORRELATION = Field("correlation", kinds.text(), "The `correlationid` of a chain of events.")
AFTER = Field("after", kinds.whole(), "Only higher sequences.")
BEFORE = Field("before", kinds.whole(), "Only lower sequences.")
TEXT = Field(
    "q",
    kinds.raw(),
    'Words, `"phrases"` and `beginnings*` in type, subject, ids and payload.',
    example="timeout gpu*",
)
ORDER = Field("order", kinds.choice(("desc", "asc")), "`desc` is newest first, `asc` oldest first.")

FILTER = (TYPE, SUBJECT, CORRELATION, AFTER, BEFORE, SINCE, UNTIL, TEXT, ORDER)


def from_request(
    *, order: Literal["desc", "asc"], limit: int, cursor: str | None = None
) -> EventQuery:
    """Pattern, subject, correlation, position, time and text; ``order`` when none is given.

    Raises ProblemError for what has no meaning.
    """
    return EventQuery(
        pattern=TYPE.read(),
        subject=SUBJECT.read(),
        correlation=CORRELATION.read(),
        after=AFTER.read(),
        before=BEFORE.read(),
        since=SINCE.read(),
        until=UNTIL.read(),
        text=TEXT.read(),
        order=ORDER.read() or order,
        limit=limit,
        cursor=cursor,
    )
