"""CloudEvents 1.0 over HTTP: requests into events, whatever content mode they use, and back."""

from __future__ import annotations

import re
from base64 import b64decode
from collections.abc import Callable, Iterable
from typing import Any, NamedTuple, Protocol
from urllib.parse import unquote

from eventbus.errors import (
    EventValidationError,
    FieldError,
    JsonTextError,
    UnsupportedContentTypeError,
)
from eventbus.event import Event
from eventbus.json_reader import read_json
from eventbus.scheduled import read_event
from eventbus.validation import JSON_CONTENT_TYPE, MAX_EVENT_BYTES, shown

STRUCTURED_CONTENT_TYPE = "application/cloudevents+json"
BATCH_CONTENT_TYPE = "application/cloudevents-batch+json"
ACCEPTED = ", ".join((JSON_CONTENT_TYPE, STRUCTURED_CONTENT_TYPE, BATCH_CONTENT_TYPE))
"""The content types of events, as a header names them."""
MAX_ERRORS = 100
"""A batch with more errors than this is not looked at any further."""

_REQUIRED = ("specversion", "id", "source", "type")  # CloudEvents 1.0.2 §"Required Attributes"
_HEADER_PREFIX = "ce-"
_BINARY_MARKS = frozenset(_HEADER_PREFIX + name for name in _REQUIRED)
_ESCAPED = re.compile(r"\\(.)")


class Headers(Protocol):
    """What holds the header fields: a dict, or the headers of any web framework."""

    def items(self) -> Iterable[tuple[str, str]]: ...


class Decoded(NamedTuple):
    """The events of one request, checked but not recorded, and whether they came as an array."""

    events: list[Event]
    is_batch: bool


def decode(
    headers: Headers, body: bytes, *, source: str | None = None, max_bytes: int = MAX_EVENT_BYTES
) -> Decoded:
    """The events that an HTTP request carries (CloudEvents HTTP binding 1.0.2 §3).

    The content type tells the mode: ``application/cloudevents+json`` is one structured event,
    ``application/cloudevents-batch+json`` an array of them; with ``ce-`` headers the body is the
    data alone; else ``application/json`` is the short form, an object with at least ``type`` or
    an array of such. ``source`` stands in for a missing one there; ``max_bytes`` bounds the
    data of each event as JSON in UTF-8.

    An event with ``delay`` or ``at`` is a ScheduledEvent.

    Raises EventValidationError, whose pointers begin with the index of the event in an array, and
    UnsupportedContentTypeError.
    """
    fields = {name.lower(): value for name, value in headers.items()}
    media_type = _media_type(fields.get("content-type", ""))

    def structured(value: Any) -> Event:
        return _structured(value, max_bytes)

    def short(value: Any) -> Event:
        return read_event(value, source=source, max_bytes=max_bytes)

    if media_type == STRUCTURED_CONTENT_TYPE:
        return Decoded([structured(_parse(body))], is_batch=False)
    if media_type == BATCH_CONTENT_TYPE:
        value = _parse(body)
        if not isinstance(value, list):
            raise _error("", f"a batch must be a JSON array of events, not {shown(value)}")
        return Decoded(_each(value, structured), is_batch=True)
    if not fields.keys().isdisjoint(_BINARY_MARKS) and media_type in (JSON_CONTENT_TYPE, ""):
        return Decoded([_binary(fields, body, max_bytes)], is_batch=False)
    if media_type == JSON_CONTENT_TYPE:
        value = _parse(body)
        if isinstance(value, list):
            return Decoded(_each(value, short), is_batch=True)
        return Decoded([short(value)], is_batch=False)
    raise UnsupportedContentTypeError(
        f"the content type must be {JSON_CONTENT_TYPE}, {STRUCTURED_CONTENT_TYPE} or "
        f"{BATCH_CONTENT_TYPE}, not {shown(fields.get('content-type', ''))}"
    )


def encode(event: Event) -> bytes:
    """The body of a structured-mode message; its content type is ``STRUCTURED_CONTENT_TYPE``."""
    return event.to_json().encode()


def encode_batch(events: Iterable[Event]) -> bytes:
    """The body of a batched-mode message; its content type is ``BATCH_CONTENT_TYPE``."""
    return f"[{','.join(event.to_json() for event in events)}]".encode()


def _media_type(content_type: str) -> str:
    media_type, *parameters = (part.strip().lower() for part in content_type.split(";"))
    for parameter in parameters:
        name, _, value = parameter.partition("=")
        # RFC 8259 §8.1: JSON between systems is UTF-8, which ASCII is a part of.
        if name == "charset" and value.strip('"') not in ("utf-8", "utf8", "us-ascii"):
            raise UnsupportedContentTypeError(f"the charset must be utf-8, not {shown(value)}")
    return media_type


def _each(values: list[Any], make: Callable[[Any], Event]) -> list[Event]:
    events: list[Event] = []
    errors: list[FieldError] = []
    for index, value in enumerate(values):
        try:
            events.append(make(value))
        except EventValidationError as error:
            errors += error.under(f"/{index}").errors
            if len(errors) >= MAX_ERRORS and index + 1 < len(values):
                errors[MAX_ERRORS:] = [
                    FieldError("", f"has too many errors; looked at up to index {index}")
                ]
                break
    if errors:
        raise EventValidationError(errors)
    return events


def _structured(value: Any, max_bytes: int) -> Event:
    if not isinstance(value, dict):
        return Event.from_dict(value, max_bytes=max_bytes)  # which says what it should be
    missing = [
        FieldError(
            f"/{name}",
            f"is required in a CloudEvent ({JSON_CONTENT_TYPE}, the short form, needs type alone)",
        )
        for name in _REQUIRED
        if value.get(name) is None
    ]
    try:
        event = read_event(_with_plain_data(value), max_bytes=max_bytes)
    except EventValidationError as error:
        told = {problem.pointer for problem in missing}
        others = [problem for problem in error.errors if problem.pointer not in told]
        raise EventValidationError(missing + others) from None
    if missing:
        raise EventValidationError(missing)
    return event


def _with_plain_data(value: dict[str, Any]) -> dict[str, Any]:
    """The same with ``data_base64`` (CloudEvents JSON format 1.0.2 §3.1) as ``data``."""
    encoded = value.get("data_base64")
    if encoded is None:
        return value
    if "data" in value:
        raise _error("/data_base64", "must not stand beside data")
    try:
        content = b64decode(encoded, validate=True)
    except (TypeError, ValueError):
        raise _error("/data_base64", f"must be text in base64, not {shown(encoded)}") from None
    plain = {name: item for name, item in value.items() if name != "data_base64"}
    return {**plain, "data": _parse(content, "/data_base64")}


def _binary(fields: dict[str, str], body: bytes, max_bytes: int) -> Event:
    value: dict[str, Any] = {}
    errors: list[FieldError] = []
    for field, text in fields.items():
        name = field.removeprefix(_HEADER_PREFIX)
        # The binding gives datacontenttype and data to Content-Type and the body.
        if name != field and name not in ("datacontenttype", "data", "data_base64"):
            try:
                value[name] = _header_value(text)
            except ValueError as error:
                errors.append(FieldError(f"/{name}", str(error)))
    if errors:
        raise EventValidationError(errors)
    if body:
        value["data"] = _parse(body, "/data")
    return _structured(value, max_bytes)


def _header_value(text: str) -> str:
    """HTTP binding 1.0.2 §3.1.3.2: double quotes (of older senders), then percent-decoding."""
    try:
        # PEP 3333 hands on a header's bytes as Latin-1; some senders forget to encode their UTF-8.
        text = text.encode("latin-1").decode()
        if len(text) >= 2 and text[0] == text[-1] == '"':
            text = _ESCAPED.sub(r"\1", text[1:-1])
        return unquote(text, errors="strict")
    except UnicodeError:
        raise ValueError(f"must be percent-encoded UTF-8 in a header, not {shown(text)}") from None


def _parse(body: bytes, pointer: str = "") -> Any:
    try:
        return read_json(body)
    except JsonTextError as error:
        raise _error(pointer, str(error)) from None


def _error(pointer: str, detail: str) -> EventValidationError:
    return EventValidationError([FieldError(pointer, detail)])
