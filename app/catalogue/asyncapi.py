"""The AsyncAPI 3.0 document: what is published here, how to send it and how to receive it."""

from __future__ import annotations

import threading
import time
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from app.catalogue.listing import Entry, entries
from eventbus import __version__
from eventbus.catalogue import inferred
from eventbus.cloudevents import BATCH_CONTENT_TYPE, STRUCTURED_CONTENT_TYPE
from eventbus.event import SPECVERSION
from eventbus.lens import lens
from eventbus.log.type_sources import payloads
from eventbus.patterns import MAX_TYPE_CHARS
from eventbus.validation import JSON_CONTENT_TYPE

if TYPE_CHECKING:
    from app.runtime import Runtime

ASYNCAPI = "3.0.0"
MOST_MESSAGES = 1_000
MOST_INFERRED = 200
_KEPT_S = 30.0

Json = dict[str, Any]

_ABOUT = """\
Every event type that this server knows: those that are declared, and those that were seen. Events
are CloudEvents 1.0 in the JSON format; a message's `payload` is the whole envelope, its `data` what
the type is about. A payload schema with `x-inferred` was read off recorded events, and says what
they had, not what they must have."""
_PATTERN = {
    "description": "A pattern of types: a trailing `*` is one or more segments, `+` exactly one, "
    "`#` any number.",
    "default": "#",
    "examples": ["evaluation.*"],
}


class AsyncApi:
    """Makes the document; schemas that are read off payloads are kept for half a minute."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._guesses: dict[bool, tuple[float, dict[str, Json]]] = {}

    def document(self, parts: Runtime, base_url: str) -> Json:
        """The document for a server that is asked as ``base_url``."""
        listed = [each for each in entries(parts) if not each.is_pattern][:MOST_MESSAGES]
        guesses = self._inferred(parts, listed)
        # A type is a name that a component may have: letters, digits, dots, "-" and "_".
        messages = {each.type: _message(each, guesses.get(each.type)) for each in listed}
        url = urlsplit(base_url)
        is_tls = url.scheme == "https"
        refs = {
            name: {"$ref": f"#/components/messages/{name}"} for name in messages
        }  # fmt: skip
        return {
            "asyncapi": ASYNCAPI,
            "info": {
                "title": "Event Bus", "version": __version__, "description": _ABOUT,
                "externalDocs": {"url": f"{base_url}/openapi.json",
                                 "description": "The HTTP API as OpenAPI"},
            },
            "defaultContentType": JSON_CONTENT_TYPE,
            "servers": {
                "http": {"host": url.netloc, "protocol": "https" if is_tls else "http",
                         "description": "Publishing"},
                "websocket": {"host": url.netloc, "protocol": "wss" if is_tls else "ws",
                              "description": "Receiving"},
            },
            "channels": _channels(refs),
            "operations": _operations(refs),
            "components": {
                "messages": messages,
                "schemas": {"envelope": _envelope()},
                "messageTraits": {"cloudevent": {
                    "contentType": STRUCTURED_CONTENT_TYPE,
                    "externalDocs": {"url": "https://cloudevents.io"},
                }},
            },
        }  # fmt: skip

    def _inferred(self, parts: Runtime, listed: list[Entry]) -> dict[str, Json]:
        with self._lock:
            key = lens() is not None  # who sees less of payloads sees less of what they had
            made_at, guesses = self._guesses.get(key, (-_KEPT_S, {}))
            if time.monotonic() - made_at > _KEPT_S:
                wanted = [
                    each.type for each in listed
                    if each.count and (each.declaration is None or each.declaration.schema is None)
                ][:MOST_INFERRED]  # fmt: skip
                guesses = {type: inferred(payloads(parts.bus.log, type, 50)) for type in wanted}
                self._guesses[key] = time.monotonic(), guesses
            return guesses


def _message(entry: Entry, guess: Json | None) -> Json:
    declared = entry.declaration
    schema = None if declared is None else declared.schema
    if schema is not None:
        data = _placed(schema, f"#/components/messages/{entry.type}/payload/properties/data")
        data.pop("$schema", None)
    else:
        data = {"type": "object"} if guess is None else {**guess, "x-inferred": True}
    found: Json = {
        "name": entry.type,
        "title": (declared.title if declared is not None else "") or entry.type,
        "traits": [{"$ref": "#/components/messageTraits/cloudevent"}],
        "tags": [{"name": entry.family}],
        "payload": {
            "allOf": [{"$ref": "#/components/schemas/envelope"}],
            "properties": {"type": {"const": entry.type}, "data": data},
            "required": ["data"],
        },
        "x-seen": entry.count,
        "x-declared": None if declared is None else declared.origin,
    }
    if declared is None:
        return found
    if declared.description:
        found["description"] = declared.description
    if declared.deprecated:
        found["x-deprecated"] = declared.deprecated
    if declared.owner:
        found["x-owner"] = declared.owner
    if declared.example is not None:
        found["examples"] = [{"name": "declared", "payload": {
            "specversion": SPECVERSION, "id": "01939f2e-6b7a-7c31-9d2f-4f4c1c0a8e55",
            "source": "/examples", "type": entry.type, "data": dict(declared.example),
        }}]  # fmt: skip
    return found


def _channels(messages: Json) -> Json:
    binding = {"type": "object", "properties": {"type": {"type": "string"}}}
    return {
        "events": {
            "address": "/api/events", "title": "Publishing", "messages": messages,
            "description": f"POST of one event, or of an array of them ({BATCH_CONTENT_TYPE}).",
            "servers": [{"$ref": "#/servers/http"}],
        },
        "stream": {
            "address": "/api/stream", "title": "Everything as it is recorded",
            "description": "Text frames `{\"events\": [...], \"sequence\": N}`. With "
            "`?type=PATTERN&after=SEQUENCE` it goes on where a reader stopped, without a hole.",
            "messages": messages, "servers": [{"$ref": "#/servers/websocket"}],
            "bindings": {"ws": {"method": "GET", "query": {
                **binding,
                "properties": {"type": {"type": "string", **_PATTERN},
                               "after": {"type": "integer", "minimum": 0}}}}},
        },
        "consume": {
            "address": "/api/subscriptions/{name}/consume", "title": "Work for other processes",
            "description": "Events of one durable subscription, each acknowledged when it is "
            "handled; several consumers share the work.",
            "parameters": {"name": {"description": "The name of the subscription."}},
            "messages": messages, "servers": [{"$ref": "#/servers/websocket"}],
            "bindings": {"ws": {"method": "GET", "query": {
                **binding, "properties": {"type": {"type": "string", **_PATTERN}}}}},
        },
    }  # fmt: skip


def _operations(messages: Json) -> Json:
    def of(channel: str, action: str, title: str) -> Json:
        return {
            "action": action, "title": title, "channel": {"$ref": f"#/channels/{channel}"},
            "messages": [{"$ref": f"#/channels/{channel}/messages/{name}"} for name in messages],
        }  # fmt: skip

    # Seen from this server: it receives what is published, and sends what it has recorded.
    return {
        "publish": {**of("events", "receive", "Publish an event"),
                    "bindings": {"http": {"method": "POST"}}},
        "stream": of("stream", "send", "Follow events"),
        "consume": of("consume", "send", "Handle events"),
    }  # fmt: skip


def _envelope() -> Json:
    """CloudEvents 1.0.2 §3.1 and the extensions that are used here."""

    def text(description: str, **rules: Any) -> Json:
        return {"type": "string", "description": description, **rules}

    return {
        "type": "object",
        "required": ["specversion", "id", "source", "type"],
        "properties": {
            "specversion": {"const": SPECVERSION},
            "id": text("With the source, what makes it one event.", minLength=1),
            "source": text("Who says it.", minLength=1),
            "type": text("Its name in dot notation.", maxLength=MAX_TYPE_CHARS),
            "subject": text("What it is about; the ordering key."),
            "time": text("When it happened, in UTC.", format="date-time"),
            "datacontenttype": {"const": JSON_CONTENT_TYPE},
            "dataschema": text("Where the schema of the data is."),
            "sequence": {"type": "integer", "description": "Its position in the log."},
            "correlationid": text("The id of the first event of its chain."),
            "causationid": text("The id of the event that caused it."),
            "traceparent": text("W3C Trace Context."),
            "data": {"type": "object"},
        },
    }


def _placed(value: Any, base: str) -> Any:
    """A schema inside another document: what it refers to in itself is below ``base`` there."""
    if isinstance(value, Mapping):
        return {
            name: base + item[1:]
            if name == "$ref" and isinstance(item, str) and item[:2] in ("#", "#/")
            else _placed(item, base)
            for name, item in value.items()
        }
    return [_placed(each, base) for each in value] if isinstance(value, list | tuple) else value
