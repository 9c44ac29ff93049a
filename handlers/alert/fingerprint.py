"""Which alerts are the same: those of one service with one type of error."""

from __future__ import annotations

import hashlib
import re
from typing import Any

_CLASS_NAME = re.compile(r"([A-Za-z_][\w.]*(?:Error|Exception|Warning|Timeout|Exit|Interrupt))\b")
_VARYING = re.compile(r"0x[0-9a-fA-F]+|[0-9a-fA-F-]{16,}|\d+(?:\.\d+)?")
_MAX_TYPE_CHARS = 160


def error_type(error: Any) -> str:
    """The type of an error: what the object says, else what its text looks like.

    A text that begins with an exception's name is of that type. Of any other text the numbers
    and ids are left out, so that "disk 3 is full" and "disk 4 is full" are one alert, not two.
    """
    if isinstance(error, dict):
        named = error.get("type") or error.get("name") or error.get("code")
        if named is not None and not isinstance(named, dict | list):
            return str(named)[:_MAX_TYPE_CHARS]
        error = error.get("message") or error.get("detail")
    if not isinstance(error, str) or not error.strip():
        return "unknown"
    text = error.strip().splitlines()[0][: 4 * _MAX_TYPE_CHARS]
    if match := _CLASS_NAME.match(text):
        return match[1]
    return _VARYING.sub("#", text)[:_MAX_TYPE_CHARS]


def fingerprint(service: str, error_type: str) -> str:
    """32 hexadecimal digits that are the same for the same service and type of error."""
    return hashlib.sha256(f"{service}\0{error_type}".encode("utf-8", "replace")).hexdigest()[:32]


def alert_id(fingerprint: str) -> str:
    """The id of the group of alerts with this fingerprint: short enough for an address."""
    return f"alert-{fingerprint[:16]}"
