"""A JSON Schema as a tree to unfold: each member with its type, bounds and words."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

_PREFIX = "#/components/schemas/"
_MOST_DEPTH = 6
_BOUNDS = (
    ("minimum", "from {}"), ("exclusiveMinimum", "above {}"), ("maximum", "to {}"),
    ("minLength", "at least {} characters"), ("maxLength", "at most {} characters"),
    ("minItems", "at least {} items"), ("maxItems", "at most {} items"), ("pattern", "fits {}"),
)  # fmt: skip
_INT64 = 2**63 - 1


@dataclass(frozen=True, slots=True)
class Branch:
    """One place in a schema. ``name`` is "" at the top and "[]" for the items of an array.

    ``type`` is in words, ``allowed`` the only values there are, ``bounds`` the rest of the rules.
    """

    name: str
    type: str
    about: str
    is_needed: bool
    allowed: Sequence[str]
    bounds: str
    default: str
    children: Sequence[Branch]


def schema_tree(schema: Mapping[str, Any], components: Mapping[str, Any]) -> Branch:
    """The tree of ``schema``; what contains itself is unfolded once."""
    return _branch("", schema, components, False, ())


def _branch(
    name: str, schema: Mapping[str, Any], components: Mapping[str, Any], is_needed: bool,
    above: tuple[str, ...],
) -> Branch:  # fmt: skip
    title, schema, above = _followed(schema, components, above)
    about = str(schema.get("description", ""))
    if title in above[:-1]:
        return Branch(name, f"{title}, as above", "", is_needed, (), "", "", ())
    variants = [each for each in _variants(schema) if each != {"type": "null"}]
    has_null = len(variants) < len(_variants(schema))
    children: list[Branch] = []
    if len(variants) == 1:
        inner = _branch(name, variants[0], components, is_needed, above)
        return Branch(
            name, f"{inner.type} or null" if has_null else inner.type, about or inner.about,
            is_needed, inner.allowed, inner.bounds, inner.default, inner.children,
        )  # fmt: skip
    if len(above) < _MOST_DEPTH:
        children = [_branch("", each, components, False, above) for each in variants]
        needed = schema.get("required", ())
        children += [
            _branch(member, each, components, member in needed, above)
            for member, each in schema.get("properties", {}).items()
        ]
        items = schema.get("items")
        if items:
            inner = _branch("[]", items, components, False, above)
            children += inner.children if inner.children and not inner.about else [inner]
    default = json.dumps(schema["default"]) if "default" in schema else ""
    return Branch(
        name, _type(schema, title, bool(variants)), about, is_needed,
        [json.dumps(each) for each in schema.get("enum", _const(schema))], _bounds(schema), default,
        children,
    )  # fmt: skip


def _followed(
    schema: Mapping[str, Any], components: Mapping[str, Any], above: tuple[str, ...]
) -> tuple[str, Mapping[str, Any], tuple[str, ...]]:
    if "$ref" not in schema:
        return "", schema, above
    name = schema["$ref"].removeprefix(_PREFIX)
    return name, components[name], (*above, name)


def _variants(schema: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    found = schema.get("anyOf") or schema.get("oneOf") or []
    return [] if all("required" in each and len(each) == 1 for each in found) else found


def _const(schema: Mapping[str, Any]) -> list[Any]:
    return [schema["const"]] if "const" in schema else []


def _type(schema: Mapping[str, Any], title: str, is_several: bool) -> str:
    if is_several:
        return "one of"
    kind = schema.get("type", "any JSON")
    kinds = kind if isinstance(kind, list) else [kind]
    if "array" in kinds and (reference := schema.get("items", {}).get("$ref")):
        return f"array of {reference.removeprefix(_PREFIX)}"
    if schema.get("format") == "date-time":
        kinds = ["date-time" if each == "string" else each for each in kinds]
    words = " or ".join(kinds)
    return f"{title} {words}".strip() if title else words


def _bounds(schema: Mapping[str, Any]) -> str:
    return ", ".join(
        words.format(schema[name])
        for name, words in _BOUNDS
        if name in schema and schema[name] != _INT64
    )
