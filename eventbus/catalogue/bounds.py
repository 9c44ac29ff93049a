"""What a schema may be at most: small, whole in itself, and quick to hold a payload against."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, NoReturn

from eventbus.errors import DeclarationError, FieldError
from eventbus.validation import pointer_token, shown

MAX_SCHEMA_BYTES = 65_536
MAX_SCHEMA_DEPTH = 32
MAX_SCHEMA_NODES = 5_000
MAX_EXPANDED = 20_000
"""Values in it when each reference is replaced by what it refers to: references to references
double with every line, and so does the time that a check takes."""
_DIALECTS = (
    "https://json-schema.org/draft/2020-12/schema",
    "https://json-schema.org/draft/2020-12/schema#",
)
_REFERENCES = ("$ref", "$dynamicRef")


def check_bounds(schema: Mapping[str, Any], *, may_recur: bool) -> None:
    """Raises DeclarationError.

    With an explicit stack: nesting must not become a RecursionError here.
    """
    dialect = schema.get("$schema")
    if dialect is not None and dialect not in _DIALECTS:
        _refuse("/schema/$schema", f"must be {_DIALECTS[0]!r}, not {shown(dialect)}")
    stack: list[tuple[str, Any, int]] = [("/schema", schema, 1)]
    nodes = 0
    while stack:
        pointer, value, depth = stack.pop()
        nodes += 1
        if nodes > MAX_SCHEMA_NODES:
            _refuse("/schema", f"must have at most {MAX_SCHEMA_NODES} values in it")
        if depth > MAX_SCHEMA_DEPTH:
            _refuse(pointer, f"is nested deeper than {MAX_SCHEMA_DEPTH} levels")
        if isinstance(value, Mapping):
            for name, item in value.items():
                if not isinstance(name, str):
                    _refuse(pointer, f"has a key that is not text: {shown(name)}")
                here = f"{pointer}/{pointer_token(name)}"
                if name in _REFERENCES and isinstance(item, str) and not item.startswith("#"):
                    detail = "must refer to a part of this schema (#/$defs/…): nothing is fetched"
                    _refuse(here, f"{detail}; given was {shown(item)}")
                stack.append((here, item, depth + 1))
        elif isinstance(value, list | tuple):
            stack.extend((f"{pointer}/{i}", item, depth + 1) for i, item in enumerate(value))
    try:
        size = len(json.dumps(schema, allow_nan=False).encode())
    except (TypeError, ValueError) as error:
        _refuse("/schema", f"must be JSON: {error}")
    if size > MAX_SCHEMA_BYTES:
        _refuse("/schema", f"must be at most {MAX_SCHEMA_BYTES} bytes of JSON, not {size}")
    _Expansion(schema, may_recur).measure()


class _Expansion:
    """How large a schema is with its references replaced; of bounded depth, as it calls itself."""

    def __init__(self, schema: Mapping[str, Any], may_recur: bool) -> None:
        self._schema = schema
        self._may_recur = may_recur
        self._known: dict[str, int] = {}
        self._open: set[str] = set()
        self._anchors: dict[str, Any] = {}
        self._find_anchors(schema)

    def measure(self) -> None:
        size = self._of_reference("#")
        if size > MAX_EXPANDED:
            _refuse("/schema", f"must have at most {MAX_EXPANDED} values in it with all references "
                               "replaced by what they refer to")  # fmt: skip

    def _of_reference(self, reference: str) -> int:
        if reference in self._open:
            if not self._may_recur:
                _refuse("/schema", f"must not refer to itself ({shown(reference)}) when it comes "
                                   "by the API; in a file it may")  # fmt: skip
            return 1
        if reference not in self._known:
            if len(self._open) >= MAX_SCHEMA_DEPTH:
                _refuse("/schema", f"has more than {MAX_SCHEMA_DEPTH} references in a row")
            self._open.add(reference)
            self._known[reference] = self._of(self._target(reference))
            self._open.discard(reference)
        return self._known[reference]

    def _of(self, value: Any) -> int:
        if isinstance(value, Mapping):
            size = 1
            for name, item in value.items():
                if name in _REFERENCES and isinstance(item, str):
                    size += self._of_reference(item)
                elif name not in ("$defs", "definitions"):
                    size += self._of(item)
            return size
        if isinstance(value, list | tuple):
            return 1 + sum(self._of(item) for item in value)
        return 1

    def _target(self, reference: str) -> Any:
        """None for one that leads nowhere, of which the validator tells."""
        if not reference.startswith("#/"):
            return self._schema if reference == "#" else self._anchors.get(reference[1:])
        found: Any = self._schema
        for part in reference[2:].split("/"):
            name = part.replace("~1", "/").replace("~0", "~")
            if isinstance(found, Mapping) and name in found:
                found = found[name]
            elif isinstance(found, list) and name.isdecimal() and int(name) < len(found):
                found = found[int(name)]
            else:
                return None
        return found

    def _find_anchors(self, value: Any) -> None:
        if isinstance(value, Mapping):
            for name in ("$anchor", "$dynamicAnchor"):
                if isinstance(anchor := value.get(name), str):
                    self._anchors[anchor] = value
            value = value.values()
        elif not isinstance(value, list | tuple):
            return
        for item in value:
            self._find_anchors(item)


def _refuse(pointer: str, detail: str) -> NoReturn:
    raise DeclarationError([FieldError(pointer, detail)])
