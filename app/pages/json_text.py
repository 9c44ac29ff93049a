"""JSON for reading: indented, and cut into tokens that the templates colour."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

MAX_COLOURED_CHARS = 60_000  # some 10,000 spans; beyond it the text is shown plain

_TOKEN = re.compile(
    r'(?P<key>"(?:[^"\\]|\\.)*")(?=\s*:)'
    r'|(?P<string>"(?:[^"\\]|\\.)*")'
    r"|(?P<number>-?\d+(?:\.\d+)?(?:[eE][+-]?\d+)?)"
    r"|(?P<word>true|false|null)"
)


def pretty(value: Any) -> str:
    """``value`` as JSON with two spaces of indent, characters as themselves."""
    return json.dumps(value, indent=2, ensure_ascii=False, default=str)


def compact(value: Any) -> str:
    """``value`` as JSON on one line."""
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"), default=str)


def tokens(text: str) -> Iterator[tuple[str, str]]:
    """Pairs of kind (``key``, ``string``, ``number``, ``word``, ``plain``) and text, in order.

    Joined, the texts are ``text`` again; a long text is one plain token.
    """
    if len(text) > MAX_COLOURED_CHARS:
        yield "plain", text
        return
    position = 0
    for match in _TOKEN.finditer(text):
        if match.start() > position:
            yield "plain", text[position : match.start()]
        yield match.lastgroup or "plain", match.group()
        position = match.end()
    if position < len(text):
        yield "plain", text[position:]
