"""JSON Schemas of the answers, made by msgspec from the types that the code answers with."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from types import UnionType
from typing import Any, Union, get_args, get_origin, get_type_hints

import msgspec

from app.api.answers.extended import OneOf
from app.problems import Problem

_TEMPLATE = "#/components/schemas/{name}"


class Schemas:
    """The named schemas of a set of types; ``of`` gives the schema of one of them."""

    def __init__(self, types: Sequence[Any]) -> None:
        named = [shape for each in OneOf.__subclasses__() for shape in each.shapes]
        flat = {part for each in [*types, *named, Problem] for part in _parts(each)}
        ordered = sorted(flat, key=repr)
        found, self.components = msgspec.json.schema_components(
            ordered, schema_hook=_hook, ref_template=_TEMPLATE
        )
        self._by_type = dict(zip(ordered, found, strict=True))
        for component in self.components.values():
            _require_defaults(component)
        _tell_times(flat, self.components)

    def of(self, shape: Any) -> dict[str, Any]:
        """The schema of a type that was among them, of a union of such, or of a JSON Schema."""
        if isinstance(shape, dict):
            return shape
        parts = [self._by_type[part] for part in _parts(shape)]
        return parts[0] if len(parts) == 1 else {"anyOf": parts}


def _parts(shape: Any) -> tuple[Any, ...]:
    """The members of a union, which msgspec would refuse; nothing for a JSON Schema."""
    if isinstance(shape, dict):
        return ()
    return get_args(shape) if get_origin(shape) in (Union, UnionType) else (shape,)


def _hook(shape: type) -> dict[str, Any]:
    if issubclass(shape, Path):
        return {"type": "string"}
    if issubclass(shape, OneOf):
        return {"anyOf": [{"$ref": _TEMPLATE.format(name=each.__name__)} for each in shape.shapes]}
    raise NotImplementedError(f"{shape} has no JSON Schema")


def _tell_times(types: Iterable[Any], components: Mapping[str, Any]) -> None:
    """All our times have a zone, which their type does not tell; msgspec then calls them text."""
    seen: set[Any] = set()
    waiting = list(types)
    while waiting:
        shape = waiting.pop()
        if get_args(shape):
            waiting.extend(get_args(shape))
        elif isinstance(shape, type) and shape not in seen and shape.__name__ in components:
            seen.add(shape)
            members = components[shape.__name__].get("properties", {})
            for name, hint in get_type_hints(shape).items():
                waiting.append(hint)
                if hint is datetime:
                    members[name]["format"] = "date-time"
                elif datetime in get_args(hint):
                    text = next(e for e in members[name]["anyOf"] if e.get("type") == "string")
                    text["format"] = "date-time"


def _require_defaults(schema: dict[str, Any]) -> None:
    """A field of a dataclass may be left out when one is made, but is in every answer."""
    for name, member in schema.get("properties", {}).items():
        if "default" in member:
            del member["default"]
            schema.setdefault("required", []).append(name)
