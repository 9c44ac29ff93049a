"""The values of bus and handlers as the JSON of the API: times as RFC 3339, pages with `next`."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import fields, is_dataclass
from datetime import datetime
from typing import Any

from flask import Response

from eventbus import Event
from eventbus.timestamps import format_time


def answer(value: Any, status: int = 200) -> Response:
    """``value`` as a JSON answer; dataclasses become objects, datetimes text."""
    return raw(json.dumps(value, default=_plain, ensure_ascii=False, separators=(",", ":")), status)


def raw(text: str, status: int = 200) -> Response:
    """JSON text as an answer."""
    return Response(text + "\n", status=status, content_type="application/json")


def page(
    name: str, items: Sequence[Any], next_cursor: str | None, more: Mapping[str, Any] | None = None
) -> Response:
    """One page of a list: ``{name: [...], "next": cursor or null}``, and ``more`` beside that."""
    return answer({name: items, "next": next_cursor, **(more or {})})


def event_list(events: Sequence[Event]) -> str:
    """Events as JSON text of an array; their payload is copied, not parsed."""
    return f"[{','.join(event.to_json() for event in events)}]"


def with_member(text: str, name: str, member: str) -> str:
    """JSON text of a non-empty object with one more member, itself JSON text, at the end."""
    return f"{text[:-1]},{json.dumps(name)}:{member}}}"


def record(value: Any) -> dict[str, Any]:
    """The fields of a dataclass as a dict, without going into them."""
    return {field.name: getattr(value, field.name) for field in fields(value)}


def _plain(value: Any) -> Any:
    if isinstance(value, datetime):
        return format_time(value)
    if isinstance(value, Event):
        return value.to_dict()
    if is_dataclass(value) and not isinstance(value, type):
        return record(value)
    if isinstance(value, Mapping):
        return dict(value)
    if isinstance(value, set | frozenset | tuple):
        return list(value)
    raise TypeError(f"{type(value).__name__} has no form in JSON")
