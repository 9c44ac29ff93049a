"""A schema for payloads that nobody has declared, read off some of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

MOST_FIELDS = 100
MOST_DEPTH = 8
MOST_ITEMS = 50
_MOST_VALUES = 6
_LEAST_SEEN = 12


def inferred(payloads: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """A JSON Schema (2020-12) that every payload keeps to.

    Fields that all of them have are required. A text with few different values in many payloads
    says which, as ``examples``: that there are no others is more than can be seen.
    """
    return _schema(list(payloads), 0)


def _schema(values: Sequence[Any], depth: int) -> dict[str, Any]:
    kinds = sorted({_kind(value) for value in values}, key=_ORDER.index)
    if "integer" in kinds and "number" in kinds:
        kinds.remove("integer")
    if not kinds:
        return {}
    found: dict[str, Any] = {"type": kinds[0] if len(kinds) == 1 else kinds}
    if depth >= MOST_DEPTH:
        return found
    if "object" in kinds:
        found |= _fields([value for value in values if isinstance(value, Mapping)], depth)
    if "array" in kinds:
        items = [item for value in values if isinstance(value, list) for item in value[:MOST_ITEMS]]
        if items:
            found["items"] = _schema(items[: MOST_ITEMS * 20], depth + 1)
    if kinds == ["string"] and len(values) >= _LEAST_SEEN:
        texts = sorted(set(values))
        if len(texts) <= _MOST_VALUES and all(len(text) <= 60 for text in texts):
            found["examples"] = texts
    return found


def _fields(objects: Sequence[Mapping[str, Any]], depth: int) -> dict[str, Any]:
    names = dict.fromkeys(name for each in objects for name in each)
    if len(names) > MOST_FIELDS:  # used as a map from names to values, not as a record
        values = [value for each in objects for value in each.values()]
        return {"additionalProperties": _schema(values[:1_000], depth + 1)}
    properties = {
        name: _schema([each[name] for each in objects if name in each], depth + 1) for name in names
    }
    required = [name for name in names if all(name in each for each in objects)]
    return {"properties": properties, **({"required": required} if required else {})}


_ORDER = ("object", "array", "string", "integer", "number", "boolean", "null")


def _kind(value: Any) -> str:
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "boolean"
    if isinstance(value, int):
        return "integer"
    if isinstance(value, float):
        return "number"
    if isinstance(value, str):
        return "string"
    return "array" if isinstance(value, list | tuple) else "object"
