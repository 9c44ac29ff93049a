"""Reading the fields of an event's data: what drives a state must be right, the rest may be odd."""

from __future__ import annotations

import json
from typing import Any

from eventbus import Event
from eventbus.timestamps import parse_time, to_microseconds
from handlers.errors import MalformedEventError

MAX_IDENTIFIER_CHARS = 1024
MAX_LABEL_CHARS = 200
_MAX_INTEGER = (
    2**53
)  # what JSON readers agree on (RFC 8259 §6), and far inside a database's 64 bits

_encode = json.JSONEncoder(ensure_ascii=False, allow_nan=False, separators=(",", ":")).encode


def identifier(event: Event, *names: str) -> str:
    """The first of the fields ``names`` that is there, as text; raises MalformedEventError."""
    data = event.data
    for name in names:
        if (value := data.get(name)) is not None:
            return _checked(event, name, value)
    raise MalformedEventError(event, " or data.".join(names), "is required", None)


def identifier_or_subject(event: Event, name: str) -> str:
    """The field ``name``, else the event's subject when the publisher chose one.

    Without a chosen subject the envelope's is made from other fields or from the type, which
    names nothing. Raises MalformedEventError.
    """
    data = event.data
    if (value := data.get(name)) is not None:
        return _checked(event, name, value)
    made_up = {event.type, str(data.get("eval_id")), str(data.get("task_id"))}
    if event.subject in made_up:
        raise MalformedEventError(event, name, "is required", None)
    return event.subject


def _checked(event: Event, name: str, value: Any) -> str:
    if isinstance(value, int) and not isinstance(value, bool):
        value = str(value)
    if not isinstance(value, str) or not value.strip() or len(value) > MAX_IDENTIFIER_CHARS:
        rule = f"must be text of 1 to {MAX_IDENTIFIER_CHARS} characters"
        raise MalformedEventError(event, name, rule, value)
    return value


def label(value: Any, limit: int = MAX_LABEL_CHARS) -> str | None:
    """A value that is only shown, as text of at most ``limit`` characters; None for none."""
    if value is None or isinstance(value, dict | list):
        return None
    text = value if isinstance(value, str) else _encode(value)
    return text[:limit] or None


def count(event: Event, name: str, lowest: int = 0, highest: int = _MAX_INTEGER) -> int | None:
    """A whole number in these bounds, None when absent; raises MalformedEventError."""
    value = event.data.get(name)
    if value is None or (type(value) is int and lowest <= value <= highest):
        return value
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    if not isinstance(value, int) or isinstance(value, bool) or not lowest <= value <= highest:
        rule = f"must be a whole number from {lowest} to {highest}"
        raise MalformedEventError(event, name, rule, event.data[name])
    return value


def operation(event: Event) -> int | None:
    """The number of the operation that the event was part of; None for none, and for nonsense."""
    value = event.data.get("operation")
    return value if type(value) is int and 0 < value <= _MAX_INTEGER else None


def number(event: Event, name: str) -> float:
    """A number; raises MalformedEventError."""
    value = event.data.get(name)
    if isinstance(value, int | float) and not isinstance(value, bool):
        try:
            return float(value)
        except OverflowError:
            pass  # an integer beyond every float: reported below, like any other value
    raise MalformedEventError(event, name, "must be a number", value)


def time(event: Event, name: str) -> int:
    """An RFC 3339 date-time as microseconds since the epoch; raises MalformedEventError."""
    value = event.data.get(name)
    try:
        return to_microseconds(parse_time(value if isinstance(value, str) else ""))
    except ValueError:
        rule = "must be an RFC 3339 date-time"
        raise MalformedEventError(event, name, rule, value) from None


def to_json(value: Any) -> str:
    """Compact JSON text of a value that came from JSON."""
    return _encode(value)
