"""An example of a schema, made from the schema itself, so that it is always a valid one."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from app.openapi.typical import ABSENT, OF_SHAPE, TYPICAL

_PREFIX = "#/components/schemas/"
_MOST_DEPTH = 8

_TIME = "2026-11-26T09:30:00.000000Z"
_BY_TYPE: Mapping[str, Any] = {
    "string": "text", "integer": 1, "number": 1.5, "boolean": True, "null": None,
}  # fmt: skip


def example(schema: Mapping[str, Any], components: Mapping[str, Any]) -> Any:
    """A value that fits ``schema``; ``components`` are the named schemas that it may refer to."""
    return _example(schema, components, "", 0)


def _example(schema: Mapping[str, Any], components: Mapping[str, Any], name: str, deep: int) -> Any:
    if "$ref" in schema:
        shape = schema["$ref"].removeprefix(_PREFIX)
        found = _example(components[shape], components, name, deep)
        known = OF_SHAPE.get(shape, {})
        if isinstance(found, dict):
            found.update({member: known[member] for member in found.keys() & known.keys()})
        return found
    for given in ("const", "default"):
        if given in schema:
            return schema[given]
    if schema.get("examples"):
        return schema["examples"][0]
    if "enum" in schema:
        allowed = schema["enum"]
        return next((each for each in TYPICAL.get(name, ()) if each in allowed), allowed[0])
    for several in ("anyOf", "oneOf"):
        if several in schema:
            if name in ABSENT and {"type": "null"} in schema[several]:
                return None
            return _example(schema[several][0], components, name, deep)
    return _of_type(schema, components, name, deep)


def _of_type(schema: Mapping[str, Any], components: Mapping[str, Any], name: str, deep: int) -> Any:
    kind = schema.get("type")
    kind = kind[0] if isinstance(kind, list) else kind
    if kind == "object" or "properties" in schema:
        if "properties" not in schema:
            return next((each for each in TYPICAL.get(name, ()) if isinstance(each, dict)), {})
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
    known = TYPICAL.get(name, ())
    if schema.get("format") == "date-time":
        return next(iter(known), _TIME)
    return next(
        (each for each in known if kind is None or _fits(each, kind)), _BY_TYPE[kind or "null"]
    )


def _fits(value: Any, kind: str) -> bool:
    if kind == "boolean" or isinstance(value, bool):
        return kind == "boolean" and isinstance(value, bool)
    if kind in ("integer", "number"):
        return isinstance(value, int)
    return kind == "string" and isinstance(value, str)
