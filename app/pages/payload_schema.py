"""A JSON Schema as people read it: a line for each field, with what it must be."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

MOST_LINES = 300
_MOST_LEVELS = 8
_MOST_VALUES = 12
_KINDS = {"integer": "whole number", "object": "object", "array": "array", "string": "text",
          "number": "number", "boolean": "true or false", "null": "null"}  # fmt: skip
_RULES = {
    "minimum": "at least {}", "maximum": "at most {}", "exclusiveMinimum": "more than {}",
    "exclusiveMaximum": "less than {}", "multipleOf": "a multiple of {}",
    "minItems": "at least {} items", "maxItems": "at most {} items",
    "minLength": "at least {} characters", "maxLength": "at most {} characters",
    "pattern": "matches {}", "format": "{}",
}  # fmt: skip
# Rules that say nothing a reader would not expect.
_EXPECTED = {"minLength": 1, "pattern": r"\S", "minimum": 0}


@dataclass(frozen=True, slots=True)
class SchemaLine:
    """One field: ``level`` is how deep it is, ``kinds`` what its value may be, in words."""

    name: str
    pointer: str
    level: int
    kinds: str
    is_required: bool
    rules: Sequence[str]
    description: str
    is_deprecated: bool = False


@dataclass(frozen=True, slots=True)
class SchemaTree:
    """``lines`` in reading order; ``rest`` is whether other fields may stand beside them."""

    lines: Sequence[SchemaLine]
    is_open: bool
    is_cut: bool


def schema_tree(schema: Mapping[str, Any]) -> SchemaTree:
    """The fields of a payload."""
    lines: list[SchemaLine] = []
    for line in _fields(schema, schema, "", 0, ()):
        if len(lines) >= MOST_LINES:
            return SchemaTree(lines, True, True)
        lines.append(line)
    return SchemaTree(lines, schema.get("additionalProperties", True) is not False, False)


def _fields(
    root: Mapping[str, Any], schema: Any, pointer: str, level: int, seen: tuple[str, ...]
) -> Iterator[SchemaLine]:
    if level >= _MOST_LEVELS:
        return
    schema, seen = _followed(root, schema, seen)
    required = set(_texts(schema.get("required")))
    for part in (schema, *_parts(schema)):
        required |= set(_texts(part.get("required")))
    properties: dict[str, Any] = {}
    for part in (schema, *_parts(schema)):
        part, _ = _followed(root, part, seen)
        if isinstance(found := part.get("properties"), Mapping):
            properties = {**found, **properties}
    for name, each in properties.items():
        yield from _line(root, each, name, f"{pointer}/{name}", level, name in required, seen)
    extra = schema.get("additionalProperties")
    if isinstance(extra, Mapping) and extra:
        yield from _line(root, extra, "any other", f"{pointer}/*", level, False, seen)


def _line(
    root: Mapping[str, Any], schema: Any, name: str, pointer: str, level: int, is_required: bool,
    seen: tuple[str, ...],
) -> Iterator[SchemaLine]:  # fmt: skip
    followed, now_seen = _followed(root, schema, seen)
    if isinstance(followed.get("items"), Mapping):
        followed = {**followed, "items": _followed(root, followed["items"], now_seen)[0]}
    yield SchemaLine(
        name, pointer, level, _kinds(followed), is_required, _rules(followed),
        str(followed.get("description") or followed.get("title") or ""),
        bool(followed.get("deprecated")),
    )  # fmt: skip
    if now_seen != seen and len(now_seen) > _MOST_LEVELS:
        return
    yield from _fields(root, followed, pointer, level + 1, now_seen)
    items = followed.get("items")
    if isinstance(items, Mapping):
        inner, inner_seen = _followed(root, items, now_seen)
        if inner.get("properties"):
            yield from _fields(root, inner, f"{pointer}/0", level + 1, inner_seen)


def _followed(
    root: Mapping[str, Any], schema: Any, seen: tuple[str, ...]
) -> tuple[Mapping[str, Any], tuple[str, ...]]:
    """A schema with its local reference followed, once each on the way down."""
    if not isinstance(schema, Mapping):
        return {}, seen
    reference = schema.get("$ref")
    if not isinstance(reference, str) or reference in seen:
        return schema, seen
    found: Any = root
    for part in reference.removeprefix("#").split("/")[1:]:
        found = found.get(part.replace("~1", "/").replace("~0", "~")) if isinstance(
            found, Mapping
        ) else None  # fmt: skip
    own = {name: value for name, value in schema.items() if name != "$ref"}
    return ({**found, **own} if isinstance(found, Mapping) else own), (*seen, reference)


def _parts(schema: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    found = schema.get("allOf")
    return [each for each in found if isinstance(each, Mapping)] if isinstance(found, list) else []


def _kinds(schema: Mapping[str, Any]) -> str:
    types = schema.get("type")
    names = [types] if isinstance(types, str) else _texts(types)
    if not names:
        options = [
            _kinds(each)
            for word in ("anyOf", "oneOf")
            for each in schema.get(word) or ()
            if isinstance(each, Mapping)
        ]
        found = [each for each in dict.fromkeys(options) if each]
        if found:
            return " or ".join(found)
        if "enum" in schema or "const" in schema:
            return ""
        return "object, or anything else" if "properties" in schema else "anything"
    words = [_KINDS.get(name, name) for name in names if name != "null" or len(names) == 1]
    items = schema.get("items")
    if "array" in names and isinstance(items, Mapping) and (inner := _kinds(items)):
        words = [f"array of {inner}" if word == "array" else word for word in words]
    return " or ".join(words)


def _rules(schema: Mapping[str, Any]) -> list[str]:
    found = []
    for name, values in (("const", [schema.get("const")]), ("enum", schema.get("enum"))):
        if name in schema and isinstance(values, list):
            shown = " · ".join(_shown(value) for value in values[:_MOST_VALUES])
            more = f" and {len(values) - _MOST_VALUES} more" if len(values) > _MOST_VALUES else ""
            found.append(f"{shown}{more}")
    for name, words in _RULES.items():
        if name in schema and schema[name] != _EXPECTED.get(name):
            value = schema[name]
            large = isinstance(value, int | float) and abs(value) >= 2**53
            if not large:
                found.append(words.format(value))
    return found


def _shown(value: Any) -> str:
    return value if isinstance(value, str) and value else json.dumps(value, ensure_ascii=False)


def _texts(value: Any) -> list[str]:
    return [each for each in value if isinstance(each, str)] if isinstance(value, list) else []
