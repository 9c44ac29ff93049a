"""Text from events made harmless for a terminal, which would obey what is hidden in it."""

from __future__ import annotations

import json
import re
from typing import Any

_NAMED = {"\n": "\\n", "\r": "\\r", "\t": "\\t"}
# In JSON text these stand in strings alone, where an escape means the same.
_IN_JSON = re.compile(r"[^\x20-\x7e]")


def safe(text: str) -> str:
    """``text`` on one line, with an escape in place of each character that does not print itself.

    Those are control characters (a terminal's escape sequences begin with one), directions of
    writing (U+202E turns the rest of a line round), and what is not a character at all.
    """
    if text.isprintable():
        return text
    return "".join(char if char.isprintable() else _escape(char) for char in text)


def safe_json(value: Any, indent: int | None = None) -> str:
    """``value`` as JSON text of the same value in which every character prints itself."""
    separators = (",", ":") if indent is None else (",", ": ")
    text = json.dumps(value, ensure_ascii=False, separators=separators, indent=indent)
    if indent is None:
        return text if text.isprintable() else _IN_JSON.sub(_json_escape, text)
    return "\n".join(
        line if line.isprintable() else _IN_JSON.sub(_json_escape, line)
        for line in text.split("\n")
    )


def safe_line(text: str) -> str:
    """A line of JSON text, unchanged but for characters that do not print themselves."""
    return text if text.isprintable() else _IN_JSON.sub(_json_escape, text)


def _escape(char: str) -> str:
    code = ord(char)
    if char in _NAMED:
        return _NAMED[char]
    if code < 0x100:
        return f"\\x{code:02x}"
    return f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"


def _json_escape(match: re.Match[str]) -> str:
    char = match[0]
    if char.isprintable():
        return char
    code = ord(char)
    if code < 0x10000:
        return f"\\u{code:04x}"
    code -= 0x10000
    return f"\\u{0xD800 + (code >> 10):04x}\\u{0xDC00 + (code & 0x3FF):04x}"
