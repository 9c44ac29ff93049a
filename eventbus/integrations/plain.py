"""Objects of other people's programs as JSON that any bus takes: bounded, and never an error."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping, Sized
from typing import Any

MAX_TEXT_CHARS = 1_000
MAX_ITEMS = 100
MAX_VALUES = 2_000
"""How many values one object may have in all; without it 100 items six levels deep are 10^12."""
MAX_BYTES = 100_000
"""How much text one object may have in all, as JSON: well inside what a bus takes as one event."""
MAX_DEPTH = 6

_KEPT_BYTES = 16_384
_MAX_WHOLE = 2**63
_UNPRINTABLE = re.compile("[\x00\ud800-\udfff]")


def plain(value: Any) -> Any:
    """``value`` as JSON: long things cut, what JSON cannot say as text.

    Whatever an object's own code raises while it is looked at becomes a text that says so.
    """
    return _Plain().of(value, 0)


def text(value: Any, limit: int = MAX_TEXT_CHARS) -> str:
    """``value`` as text without NUL and lone surrogates, at most ``limit`` characters."""
    if isinstance(value, bytes | bytearray):
        value = bytes(value[:limit])  # the text of all of it would be four times its size
    try:
        shown = str(value)
    except Exception as error:  # a __str__ of somebody's, or a number of 5,000 digits
        shown = f"({type(value).__name__} that cannot be shown: {type(error).__name__})"
    if len(shown) > limit:
        shown = shown[: limit - 1] + "…"
    return _UNPRINTABLE.sub("\ufffd", shown)


def cut(data: Mapping[str, Any]) -> dict[str, Any]:
    """``data``, which is plain, with what is large in it replaced by a text that says its size."""
    sizes = {name: _size(value) for name, value in data.items()}
    return {
        name: value if sizes[name] <= _KEPT_BYTES else f"(left out: {sizes[name]} bytes)"
        for name, value in data.items()
    }


def _size(value: Any) -> int:
    return len(json.dumps(value, ensure_ascii=False, default=text).encode())


def _too_deep(value: Sized) -> str:
    return f"({type(value).__name__} of {len(value)})"  # its own text may be endless


class _Plain:
    """One conversion, and what is left of its bounds."""

    def __init__(self) -> None:
        self._values = MAX_VALUES
        self._bytes = MAX_BYTES

    def of(self, value: Any, depth: int) -> Any:
        self._values -= 1
        kind = type(value)
        if value is None or kind is bool:
            return value
        if isinstance(value, int) and -_MAX_WHOLE < value < _MAX_WHOLE:
            return int(value)  # a plain one also for an IntEnum
        if isinstance(value, float):
            return float(value) if math.isfinite(value) else str(float(value))
        try:
            if isinstance(value, Mapping):
                return self._object(value, depth) if depth < MAX_DEPTH else _too_deep(value)
            if isinstance(value, list | tuple | set | frozenset):
                return self._array(value, depth) if depth < MAX_DEPTH else _too_deep(value)
        except Exception as error:  # a mapping of somebody's that fails while it is read
            return f"({kind.__name__} that cannot be read: {type(error).__name__})"
        return self._text(value)

    def _object(self, value: Mapping[Any, Any], depth: int) -> dict[str, Any]:
        found: dict[str, Any] = {}
        for key in value:
            if len(found) >= MAX_ITEMS or self._is_over:
                break
            found[self._text(key, 200)] = self.of(value[key], depth + 1)
        return found

    def _array(self, value: Any, depth: int) -> list[Any]:
        found: list[Any] = []
        for item in value:
            if len(found) >= MAX_ITEMS or self._is_over:
                break
            found.append(self.of(item, depth + 1))
        return found

    def _text(self, value: Any, limit: int = MAX_TEXT_CHARS) -> str:
        shown = text(value, limit)
        self._bytes -= len(shown) if shown.isascii() and shown.isprintable() else _size(shown)
        return shown

    @property
    def _is_over(self) -> bool:
        return self._values <= 0 or self._bytes <= 0
