"""A template of event types, like ``log.{level}``, filled with text from anywhere."""

from __future__ import annotations

import re
from collections.abc import Sequence

from eventbus.errors import PatternError
from eventbus.patterns import MAX_TYPE_CHARS, MAX_TYPE_SEGMENTS, validate_type

_FIELD = re.compile(r"\{([^{}]*)\}")
_FOREIGN = re.compile(r"[^A-Za-z0-9_-]+")


class TypeTemplate:
    """Dotted text with ``{field}``s; what fills them becomes one or more segments of a type."""

    def __init__(self, template: str, fields: Sequence[str]) -> None:
        """Raises ValueError for another field, or where the rest is no event type."""
        self.template = template
        self._parts = _FIELD.split(template)  # text and fields, in turn
        unknown = [field for field in self._parts[1::2] if field not in fields]
        if unknown:
            allowed = ", ".join(f"{{{field}}}" for field in fields)
            raise ValueError(f"{template!r} may have {allowed}, not {{{unknown[0]}}}")
        try:
            validate_type("x".join(self._parts[::2]))
        except PatternError as error:
            raise ValueError(f"{template!r} gives no event type: {error}") from None

    def filled(self, **values: str) -> str:
        """The type with every field replaced; always a valid one."""
        filled = "".join(
            part if index % 2 == 0 else segments(values[part])
            for index, part in enumerate(self._parts)
        )
        return shortened(filled)


def segments(value: str) -> str:
    """``value`` as segments of a type: dots stay, what a type may not have becomes ``_``."""
    found = (_FOREIGN.sub("_", part) for part in value.split("."))
    return ".".join(part for part in found if part) or "_"


def shortened(type: str) -> str:
    """A type within the bounds of its length and its number of segments."""
    parts = type.split(".")
    if len(parts) > MAX_TYPE_SEGMENTS:
        parts[MAX_TYPE_SEGMENTS - 1 :] = ["_".join(parts[MAX_TYPE_SEGMENTS - 1 :])]
    return ".".join(parts)[:MAX_TYPE_CHARS].rstrip(".")
