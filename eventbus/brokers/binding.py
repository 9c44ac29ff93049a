"""CloudEvents as messages: the attributes that go beside a body, and messages back into events.

What the protocol bindings of CloudEvents 1.0.2 have in common; the prefix of the attributes and
where they stand in a message is the adapter's.
"""

from __future__ import annotations

from base64 import b64decode, b64encode
from collections.abc import Mapping
from typing import Any

from eventbus.brokers.broker import Incoming
from eventbus.errors import EventValidationError, FieldError, JsonTextError
from eventbus.event import SPECVERSION, Event
from eventbus.extensions import allowed, as_text
from eventbus.json_reader import read_json
from eventbus.timestamps import format_time
from eventbus.validation import JSON_CONTENT_TYPE, is_json_content_type, shown

STRUCTURED_PREFIX = "application/cloudevents"
_REQUIRED = ("specversion", "id", "source", "type")
_TAKEN = (
    "id", "source", "type", "subject", "time", "dataschema", "traceparent", "correlationid",
    "causationid",
)  # fmt: skip
_MAX_DEPTH = 1_000
# JSON text of a payload in UTF-8 is no longer than its body, but base64 makes it a third longer.
_MOST_BODY = 2


def attributes_of(event: Event) -> dict[str, str]:
    """All attributes of a binary-mode message but ``datacontenttype``, as canonical strings.

    ``sequence`` is the event's place in the log that it comes from; ``causationdepth``, an
    extension of ours, keeps the guard against endless chains working across buses.
    """
    attributes = {
        "specversion": SPECVERSION,
        "id": event.id,
        "source": event.source,
        "type": event.type,
        "subject": event.subject,
        "time": format_time(event.time),
        "correlationid": event.correlationid,
    }
    for name in ("causationid", "traceparent", "dataschema"):
        value = getattr(event, name)
        if value is not None:
            attributes[name] = value
    attributes |= {name: as_text(value) for name, value in event.extensions.items()}
    if event.sequence is not None:
        attributes["sequence"] = str(event.sequence)
    if event.depth:
        attributes["causationdepth"] = str(event.depth)
    if event.is_stripped:
        attributes["dataremoved"] = "true"
    return attributes


def decode(message: Incoming, max_bytes: int) -> Event:
    """The event that a message carries, in whichever content mode.

    Extension attributes whose name or value CloudEvents does not allow are left out. Data that is
    no JSON object becomes one: ``{"value": …}`` for other JSON, ``{"text": …}`` for text, else
    ``{"base64": …}``. Raises EventValidationError.
    """
    if len(message.body) > _MOST_BODY * max_bytes + 65_536:
        raise _error("", f"the message has {len(message.body)} bytes, too many for an event here")
    if message.content_type.lower().startswith(STRUCTURED_PREFIX):
        return _structured(_json(message.body), max_bytes)
    if all(name in message.attributes for name in _REQUIRED):
        return _event(message.attributes, message.body, message.content_type, max_bytes)
    if message.attributes:
        missing = [name for name in _REQUIRED if name not in message.attributes]
        raise EventValidationError(
            [FieldError(f"/{name}", "is required in a CloudEvent") for name in missing]
        )
    if (value := _as_envelope(message.body)) is not None:
        return _structured(value, max_bytes)
    if message.mapped is None:
        raise _error("", "the message is no CloudEvent, and has no id to be told apart by")
    return _event(message.mapped, message.body, message.content_type, max_bytes)


def as_object(body: bytes, content_type: str) -> dict[str, Any]:
    """Data as the JSON object that an event's payload is. Raises EventValidationError."""
    if not body:
        return {}
    if not content_type or is_json_content_type(content_type):
        try:
            return _wrapped(_json(body))
        except EventValidationError:
            if content_type:
                raise
    if not content_type or content_type.lower().startswith("text/"):
        try:
            return {"text": body.decode()}
        except UnicodeDecodeError:
            pass
    return {"base64": b64encode(body).decode()}


def _event(attributes: Mapping[str, str], body: bytes, content_type: str, max_bytes: int) -> Event:
    if attributes.get("specversion", SPECVERSION) != SPECVERSION:
        raise _error("/specversion", f'must be "1.0", not {shown(attributes["specversion"])}')
    return _create(attributes, as_object(body, content_type), max_bytes)


def _structured(value: Any, max_bytes: int) -> Event:
    if not isinstance(value, dict):
        raise _error("", f"a structured CloudEvent must be a JSON object, not {shown(value)}")
    missing = [name for name in _REQUIRED if value.get(name) is None]
    if missing:
        raise EventValidationError(
            [FieldError(f"/{name}", "is required in a CloudEvent") for name in missing]
        )
    if value["specversion"] != SPECVERSION:
        raise _error("/specversion", f'must be "1.0", not {shown(value["specversion"])}')
    if (encoded := value.get("data_base64")) is not None:
        try:
            body = b64decode(encoded, validate=True)
        except (TypeError, ValueError):
            raise _error("/data_base64", "must be text in base64") from None
        content_type = value.get("datacontenttype") or JSON_CONTENT_TYPE
        return _create(value, as_object(body, str(content_type)), max_bytes)
    data = value.get("data")
    return _create(value, {} if data is None else _wrapped(data), max_bytes)


def _create(attributes: Mapping[str, Any], data: dict[str, Any], max_bytes: int) -> Event:
    given = {name: attributes[name] for name in _TAKEN if attributes.get(name) is not None}
    depth = str(attributes.get("causationdepth", "0"))
    return Event.create(
        given.pop("type"), data, **given, extensions=allowed(attributes), max_bytes=max_bytes,
        depth=min(int(depth), _MAX_DEPTH) if depth.isascii() and depth.isdigit() else 0,
    )  # fmt: skip


def _as_envelope(body: bytes) -> dict[str, Any] | None:
    """A structured CloudEvent that came without its content type, as many producers send it."""
    if body.lstrip()[:1] != b"{":
        return None
    try:
        value = _json(body)
    except EventValidationError:
        return None
    return value if isinstance(value, dict) and all(name in value for name in _REQUIRED) else None


def _wrapped(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {"value": value}


def _json(body: bytes) -> Any:
    try:
        return read_json(body, is_strict=False)  # others' messages, as they are
    except JsonTextError as error:
        raise _error("", str(error)) from None


def _error(pointer: str, detail: str) -> EventValidationError:
    return EventValidationError([FieldError(pointer, detail)])
