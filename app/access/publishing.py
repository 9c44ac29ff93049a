"""Which types may be published from outside, and with the token of the current request."""

from __future__ import annotations

from collections.abc import Iterable

from app.access.audit import AUDIT_TYPES
from app.access.guard import principal
from app.problems import ProblemError
from eventbus import Event
from eventbus.errors import FieldError


def check_types(events: Iterable[Event]) -> None:
    """Raise the 403 for a type that is the server's own, or outside of the token's pattern."""
    pattern = principal().pattern
    for event in events:
        if event.type in AUDIT_TYPES:
            raise _refused(event.type, "only the server itself publishes it")
        if pattern is not None and not pattern.matches(event.type):
            raise _refused(event.type, f"the token is for the types {pattern.text} alone")


def _refused(type: str, why: str) -> ProblemError:
    detail = f"{type}: {why}; nothing was recorded"
    return ProblemError(403, "Forbidden", detail, [FieldError("/type", why)])
