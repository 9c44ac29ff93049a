"""Which content types events are sent and asked for in, every form."""

from __future__ import annotations

from dataclasses import replace

from flask import request

from app.openapi import kinds
from app.openapi.fields import Field
from app.openapi.operation import Media
from eventbus.cloudevents import BATCH_CONTENT_TYPE, STRUCTURED_CONTENT_TYPE
from eventbus.extensions import MAX_NAME_CHARS, MOST_INTEGER
from eventbus.patterns import MAX_TYPE_CHARS
from eventbus.validation import JSON_CONTENT_TYPE, MAX_ATTRIBUTE_CHARS

_SEGMENT = "[A-Za-z0-9_-]+"
_NO_CONTROL = (
    r"^[^\u0000-\u001f\u007f-\u009f]*[^\s\u0000-\u001f\u007f-\u009f][^\u0000-\u001f\u007f-\u009f]*$"
)


def _attribute(name: str, about: str, *, is_needed: bool = False, example: str = "") -> Field:
    kind = kinds.Kind(
        {"type": "string", "pattern": _NO_CONTROL, "maxLength": MAX_ATTRIBUTE_CHARS}, str, _unused
    )
    return Field(name, kind, about, is_needed=is_needed, example=example or None)


def _unused(value: object, pointer: str, errors: kinds.Errors) -> None:
    """Events are checked by ``eventbus.cloudevents``, by the same bounds."""


def _of(schema: dict[str, object]) -> kinds.Kind:
    return kinds.Kind(schema, str, _unused)


_TYPE = Field(
    "type",
    _of({"type": "string", "maxLength": MAX_TYPE_CHARS,
         "pattern": rf"^{_SEGMENT}(\.{_SEGMENT}){{0,15}}$"}),
    "The event's name in dot notation.", is_needed=True, example="evaluation.started",
)  # fmt: skip
_REST = (
    _attribute("subject", "What it is about, and is ordered by: the data's `eval_id` or `task_id`, "
               "else the type, when it is not given.", example="eval-42"),
    Field("time", kinds.time(), "When it happened (RFC 3339 with a zone); now by default."),
    Field(
        "datacontenttype",
        _of({"type": "string", "pattern": r"^\s*[aA]pplication/json\s*(;.*)?$"}),
        "`application/json`: data is a JSON object here.",
    ),
    _attribute("dataschema", "Where the schema of the data is.", example="/schemas/started"),
    Field("data", _of({"type": "object"}), "The payload, 256 KiB of JSON at most by default.",
          example={"eval_id": "eval-42", "total": 50}),
    _attribute("correlationid", "The `id` of the first event of its chain."),
    _attribute("causationid", "The `id` of the event that caused it."),
    Field(
        "traceparent", _of({"type": "string", "pattern":
                            "^[0-9a-f]{2}-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}$"}),
        "W3C trace context.",
    ),
    Field("sequence", _of({}), "Ignored: the log gives it."),
    Field("recordedtime", _of({}), "Ignored."),
    Field("delay", _of({"type": ["number", "string"]}), "Record it so many seconds later."),
    Field("at", kinds.time(), "Record it then; instead of `delay`."),
)  # fmt: skip
_VERSION = _of({"type": "string", "const": "1.0"})
_ID = "With `source` it makes the event unique: sent again, it is a duplicate."
_SOURCE = "Who publishes it."

EVENT = kinds.members((
    _TYPE,
    Field("specversion", _VERSION, "The version of CloudEvents."),
    _attribute("id", f"{_ID} A new UUIDv7 by default.", example="order-1"),
    _attribute("source", _SOURCE, example="/my-runner"),
    *_REST,
))  # fmt: skip
_cloud_event = kinds.members((
    Field("specversion", _VERSION, "The version of CloudEvents.", is_needed=True, example="1.0"),
    _attribute("id", _ID, is_needed=True, example="order-1"),
    _attribute("source", _SOURCE, is_needed=True, example="/my-runner"),
    _TYPE,
    *_REST,
))  # fmt: skip
# Others than these are its extension attributes.
CLOUD_EVENT = replace(_cloud_event, schema={
    **_cloud_event.schema,
    "propertyNames": {"pattern": rf"^[a-z0-9]{{1,{MAX_NAME_CHARS}}}$"},
    "additionalProperties": {
        "type": ["string", "integer", "boolean", "null"], "maxLength": MAX_ATTRIBUTE_CHARS,
        "minimum": -MOST_INTEGER - 1, "maximum": MOST_INTEGER,
    },
})  # fmt: skip

_STARTED = {"type": "evaluation.started", "data": {"eval_id": "eval-42", "total": 50}}
_FINISHED = {"type": "evaluation.completed", "data": {"eval_id": "eval-42", "result": {"n": 50}}}
_CLOUD = {"specversion": "1.0", "id": "order-1", "source": "/shop", "type": "order.paid",
          "data": {"amount": 3}}  # fmt: skip

PUBLISHED = Media(
    {
        JSON_CONTENT_TYPE: {"anyOf": [
            {"$ref": "#/components/schemas/NewEvent"},
            {"type": "array", "items": {"$ref": "#/components/schemas/NewEvent"}},
        ]},
        STRUCTURED_CONTENT_TYPE: {"$ref": "#/components/schemas/NewCloudEvent"},
        BATCH_CONTENT_TYPE: {
            "type": "array", "items": {"$ref": "#/components/schemas/NewCloudEvent"},
        },
    },
    {
        JSON_CONTENT_TYPE: {
            "one": _STARTED,
            "a batch": [_STARTED, _FINISHED],
            "later": {"type": "report.due", "delay": 3600},
        },
        STRUCTURED_CONTENT_TYPE: {"structured": _CLOUD},
        BATCH_CONTENT_TYPE: {"batched": [_CLOUD]},
    },
    about="An event, or a batch of them, which is recorded whole or not at all. In the binary mode "
    "of CloudEvents the attributes are the `ce-` headers, and the body is the data.",
)  # fmt: skip

BINARY_HEADERS = tuple(
    Field(f"ce-{name}", kinds.text(), f"{about}, in binary mode.")
    for name, about in (
        ("specversion", "`1.0`"), ("id", "The event's `id`"), ("source", "Its `source`"),
        ("type", "Its `type`"), ("subject", "Its `subject`"), ("time", "Its `time`"),
    )
)  # fmt: skip


def prefers(content_type: str) -> bool:
    """Whether the client would rather have this type than plain JSON; ``*/*`` is no wish."""
    accepted = request.environ.get("HTTP_ACCEPT", "")
    return (
        "cloudevents" in accepted
        and request.accept_mimetypes.best_match([JSON_CONTENT_TYPE, content_type]) == content_type
    )
