"""The time that a request asks about: now, or ``?at=`` a moment of the past."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

from flask import request

from app.problems import ProblemError
from app.runtime import runtime
from eventbus.log.reach import reaches
from eventbus.timestamps import format_time
from eventbus.validation import shown
from handlers import Handlers
from handlers.travel import PastHandlers, Place

PARAMETER = "at"
# The clock of who asks may be a little ahead of ours.
_AHEAD = timedelta(seconds=5)
_SEQUENCE = re.compile(r"[0-9]{1,18}")


@contextmanager
def asked() -> Iterator[tuple[Handlers | PastHandlers, Place | None]]:
    """The read models that the request asks, and where in the past they are; None for now.

    Raises ProblemError for an ``at`` that is none, TravelError for one that cannot be told.
    """
    parts = runtime()
    moment = place()
    if moment is None:
        yield parts.handlers, None
        return
    with parts.travels.at(moment.position, moment.at) as past:
        yield past, moment


def place() -> Place | None:
    """Where in the past the request's ``at`` is: a time, an age like 15m, or a sequence.

    Raises ProblemError.
    """
    text = request.args.get(PARAMETER, "").strip()
    if not text:
        return None
    from app.pages.times import check_recorded, parse_moment  # the pages import this module

    travels = runtime().travels
    if _SEQUENCE.fullmatch(text):
        log = runtime().bus.log
        if not reaches(log, int(text)):
            last = log.last_sequence
            raise ProblemError.parameter(
                PARAMETER, f"must be at most {last}, the newest sequence, not {text}"
            )
        return travels.place(int(text))
    now = datetime.now(UTC)
    try:
        # A "+" that was not written as %2B arrives as a space.
        text = re.sub(r" (?=\d\d:?\d\d$)", "+", text)
        moment = parse_moment(text, now)
    except ValueError:
        raise ProblemError.parameter(
            PARAMETER,
            "must be a time like 2026-11-24T09:30:00Z, an age like 15m, 1h or 7d, or a sequence, "
            f"not {shown(text)}",
        ) from None
    try:
        when = check_recorded(moment, text)
    except ValueError as error:
        raise ProblemError.parameter(PARAMETER, str(error)) from None
    if when > now + _AHEAD:
        raise ProblemError.parameter(PARAMETER, f"must be in the past, not {format_time(when)}")
    return travels.place_at(when)


def as_of(moment: Place | None) -> dict[str, Any]:
    """What an answer of the API says about the past that it tells of; nothing for now."""
    if moment is None:
        return {}
    return {"as_of": {"sequence": moment.position, "at": moment.at}}
