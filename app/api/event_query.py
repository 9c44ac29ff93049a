"""The filter of the history in a request's parameters."""

from __future__ import annotations

from typing import Literal

from app.api import parameters
from eventbus.log import EventQuery


def from_request(
    *, order: Literal["desc", "asc"], limit: int, cursor: str | None = None
) -> EventQuery:
    """Pattern, subject, correlation, position, time and text; ``order`` when none is given.

    Raises ProblemError for what has no meaning.
    """
    return EventQuery(
        pattern=parameters.pattern("type"),
        subject=parameters.text("subject"),
        correlation=parameters.text("correlation"),
        after=parameters.whole("after"),
        before=parameters.whole("before"),
        since=parameters.time("since"),
        until=parameters.time("until"),
        text=parameters.text("q"),
        order=parameters.choice("order", ("desc", "asc"), default=order),
        limit=limit,
        cursor=cursor,
    )
