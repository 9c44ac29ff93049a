"""The event types: those that were seen, and what is declared about them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from flask import Blueprint, Response

from app.access.guard import actor
from app.api.answers.catalogue import Checked, Declared, OneType, Types
from app.api.common import BY, LIMIT
from app.api.shapes import answer
from app.catalogue.changes import checked, declare, withdraw
from app.catalogue.listing import Entry, entries, entry_of
from app.live.type_tree import Node, type_tree
from app.openapi import kinds
from app.openapi.fields import Body, Field, wrong_body
from app.openapi.operation import operation
from app.pages.look import family_hue
from app.problems import ProblemError
from app.runtime import runtime
from eventbus.catalogue import TypeTally, inferred
from eventbus.catalogue.declaration import MODES
from eventbus.log.type_sources import payloads

WHO = "api"
MAX_DECLARATION_BYTES = 262_144
_TAG = "Types"

_TEXT = Field("q", kinds.raw(), "What the type contains.", example="eval")
_TYPE = Field("type", kinds.text(255), "An event type, or a declared pattern.",
              example="evaluation.started")  # fmt: skip
# A declaration is checked as a whole, also where it comes from a file: Declaration.read.
_MEMBERS = tuple(
    Field(name, kinds.unread(schema), about)
    for name, schema, about in (
        ("type", {"type": "string"}, "The same as in the path."),
        ("title", {"type": "string", "maxLength": 120}, "In a few words."),
        ("description", {"type": "string", "maxLength": 4_000}, "At length."),
        ("owner", {"type": "string", "maxLength": 120}, "Who answers for it."),
        ("schema", {"type": "object"}, "A JSON Schema (2020-12) that the payload must keep to; "
         "references stay within it."),
        ("example", {"type": "object"}, "A payload that keeps to the schema."),
        ("since", {"type": "string", "maxLength": 120}, "The version that brought it."),
        ("deprecated", {"type": ["string", "boolean"]}, "What to use instead."),
        ("mode", {"type": "string", "enum": list(MODES)}, "What becomes of an event that the "
         "schema does not allow; `enforce` by default."),
    )
)  # fmt: skip
_DECLARE = Body(
    (*_MEMBERS, BY),
    {"with a schema": {
        "title": "An invoice was paid", "owner": "Billing",
        "schema": {"required": ["invoice_id"], "properties": {"invoice_id": {"type": "string"}}},
        "example": {"invoice_id": "i-17"}, "by": "ann",
    }},
    MAX_DECLARATION_BYTES,
)  # fmt: skip
_WITHDRAW = Body((BY,), {"with a name": {"by": "ann"}})
_CHECK = Body(
    (Field("data", kinds.unread({"type": "object"}), "The payload.", is_needed=True),),
    {"a payload": {"data": {"eval_id": "eval-42"}}},
    MAX_DECLARATION_BYTES,
    is_needed=True,
)
_UNKNOWN = {404: "It is neither declared nor was it ever seen."}
_READ_ONLY = {409: "A file declares it."}

blueprint = Blueprint("types", __name__)


@blueprint.get("/types")
@operation("listTypes", _TAG, query=(_TEXT, LIMIT), answers={200: Types})
def types() -> Response:
    """Types that contain ``q``, those that begin with it first, then the most frequent.

    Declared ones that were never seen come last, with a count of 0. ``patterns`` are wildcards
    that would match several of all types, by the same rule.
    """
    wanted = (_TEXT.read() or "").lower()
    limit = LIMIT.read()
    parts = runtime()
    found = [each for each in entries(parts) if not each.is_pattern and wanted in each.type.lower()]
    found.sort(key=lambda each: (not each.type.lower().startswith(wanted), -each.count, each.type))
    patterns = [
        {"pattern": node.pattern, "count": node.count, "hue": family_hue(node.family)}
        for node in _branches(type_tree(parts.hub.traffic.types()).families)
        if node.pattern.lower().startswith(wanted)
    ]
    return answer(
        {
            "types": [_line(each) for each in found[:limit]],
            "patterns": patterns[:limit],
            "more": max(0, len(found) - limit),
        }
    )


@blueprint.get("/types/<path:type>")
@operation("getType", _TAG, path=(_TYPE,), answers={200: OneType}, problems=_UNKNOWN)
def one(type: str) -> Response:
    """One type or declared pattern: its declaration, who publishes and handles it, violations."""
    parts = runtime()
    entry, found = entry_of(parts, type)
    if entry is None:
        raise _unknown(type)
    declared = found.declaration
    has_schema = declared is not None and declared.schema is not None
    return answer(
        {
            **_line(entry),
            "declaration": None if declared is None else declared.describe(),
            "mode": found.mode,
            "last_at": entry.last_at,
            "sources": entry.sources,
            "handlers": [each.name for each in entry.handlers],
            "violations": _tally(entry.tally),
            "inferred": inferred(payloads(parts.bus.log, type))
            if entry.count and not has_schema
            else None,
        }
    )


@blueprint.put("/types/<path:type>")
@operation(
    "declareType", _TAG, path=(_TYPE,), body=_DECLARE, answers={200: Declared, 201: Declared},
    problems=_READ_ONLY,
)  # fmt: skip
def put(type: str) -> Response:
    """Declare a type, or a pattern of types, in the place of what the API declared before.

    It holds when the answer is there. What a file declares cannot be changed here.
    """
    body = {name: value for name, value in _DECLARE.read().items() if value is not None}
    by = actor(body.pop("by", WHO))
    parts = runtime()
    is_new = parts.catalogue.get(type) is None
    stored = declare(parts, type, body, by)
    return answer(stored.describe(), 201 if is_new else 200)


@blueprint.delete("/types/<path:type>")
@operation(
    "withdrawType", _TAG, path=(_TYPE,), body=_WITHDRAW, answers={200: Declared},
    problems={404: "The API has declared nothing of it.", **_READ_ONLY},
)  # fmt: skip
def delete(type: str) -> Response:
    """Take back what the API declared; the answer is what that was."""
    by = _WITHDRAW.read()["by"]
    return answer(withdraw(runtime(), type, actor(WHO if by is None else by)).describe())


@blueprint.post("/types/<path:type>/check")
@operation("checkPayload", _TAG, path=(_TYPE,), body=_CHECK, answers={200: Checked})
def check(type: str) -> Response:
    """Hold a payload against the type's schema; nothing is published."""
    data = _CHECK.read()["data"]
    if not isinstance(data, dict):
        raise wrong_body([{"pointer": "/data", "detail": "must be a JSON object, the payload"}])
    found, errors = checked(runtime(), type, data)
    return answer(
        {
            "valid": not errors,
            "mode": found.mode,
            "checked": found.compiled is not None,
            "errors": [{"pointer": each.pointer, "detail": each.detail} for each in errors],
        }
    )


def _line(entry: Entry) -> dict[str, Any]:
    declared = entry.declaration
    return {
        "type": entry.type,
        "count": entry.count,
        "rate": entry.rate,
        "hue": family_hue(entry.family),
        "title": None if declared is None else declared.title or None,
        "owner": None if declared is None else declared.owner or None,
        "declared": None if declared is None else declared.origin,
        "deprecated": None if declared is None else declared.deprecated or None,
    }


def _tally(tally: TypeTally) -> dict[str, Any]:
    last = tally.last
    return {
        "since": runtime().catalogue.tally.since,
        "refused": tally.refused,
        "reported": tally.reported,
        "unchecked": tally.unchecked,
        "last": None
        if last is None
        else {
            "at": last.at,
            "source": last.source,
            "sequence": last.sequence,
            "errors": [{"pointer": each.pointer, "detail": each.detail} for each in last.errors],
        },
    }


def _unknown(type: str) -> ProblemError:
    detail = f"the type {type[:200]!r} is neither declared nor was it ever seen"
    return ProblemError(404, "No such type", detail)


def _branches(nodes: Sequence[Node]) -> Iterator[Node]:
    for node in nodes:
        if node.children:
            yield node
            yield from _branches(node.children)
