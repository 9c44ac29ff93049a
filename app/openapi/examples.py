"""An example of a schema, made from the schema itself, so that it is always a valid one."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

_PREFIX = "#/components/schemas/"
_MOST_DEPTH = 8

# What a member of this name looks like in practice, where its schema allows it.
_TYPICAL: Mapping[str, Any] = {
    "id": "01a20b7f-db96-7cbd-8ddc-632e8da74f8a",
    "event_id": "01a20b7f-db96-7cbd-8ddc-632e8da74f8a",
    "correlationid": "01a20b7f-db96-7cbd-8ddc-632e8da74f8a",
    "source": "/my-runner",
    "type": "evaluation.started",
    "event_type": "evaluation.started",
    "subject": "eval-42",
    "eval_id": "eval-42",
    "sequence": 42,
    "last_sequence": 42,
    "data": {"eval_id": "eval-42", "total": 50},
    "task": "gsm8k",
    "model": "alpha",
    "by": "ann",
    "subscription": "evaluation",
    "pattern": "evaluation.*",
    "name": "evaluation",
    "service": "gateway",
    "error_class": "TimeoutError",
    "error_message": "no answer in 30 s",
}
_BY_TYPE: Mapping[str, Any] = {
    "string": "text", "integer": 1, "number": 1.5, "boolean": True, "null": None,
}  # fmt: skip


def example(schema: Mapping[str, Any], components: Mapping[str, Any]) -> Any:
    """A value that fits ``schema``; ``components`` are the named schemas that it may refer to."""
    return _example(schema, components, "", 0)


def _example(schema: Mapping[str, Any], components: Mapping[str, Any], name: str, deep: int) -> Any:
    if "$ref" in schema:
        return _example(components[schema["$ref"].removeprefix(_PREFIX)], components, name, deep)
    for given in ("const", "default"):
        if given in schema:
            return schema[given]
    if schema.get("examples"):
        return schema["examples"][0]
    if "enum" in schema:
        return schema["enum"][0]
    for several in ("anyOf", "oneOf"):
        if several in schema:
            return _example(schema[several][0], components, name, deep)
    return _of_type(schema, components, name, deep)


def _of_type(schema: Mapping[str, Any], components: Mapping[str, Any], name: str, deep: int) -> Any:
    kind = schema.get("type")
    kind = kind[0] if isinstance(kind, list) else kind
    if kind == "object" or "properties" in schema:
        if "properties" not in schema:
            typical = _TYPICAL.get(name)
            return typical if isinstance(typical, dict) else {}
        needed = schema.get("required", ())
        return {
            member: _example(each, components, member, deep + 1)
            for member, each in schema["properties"].items()
            if member in needed or deep < 1
        }
    if kind == "array":
        if deep >= _MOST_DEPTH or (name == "children" and deep > 2):
            return []
        return [_example(schema.get("items", {}), components, name, deep + 1)]
    if schema.get("format") == "date-time":
        return "2026-11-26T09:30:00.000000Z"
    typical = _TYPICAL.get(name)
    if kind is None or _fits(typical, kind):
        return typical
    return _BY_TYPE[kind]


def _fits(value: Any, kind: str) -> bool:
    if kind == "integer":
        return isinstance(value, int)
    return kind == "string" and isinstance(value, str)
