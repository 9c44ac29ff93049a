"""Opaque paging cursors: a short, checked text that says where a page ended."""

from __future__ import annotations

import base64
import binascii

from eventbus.errors import CursorError

_MAX_CHARS = 200
_MAX_INTEGER = 2**63 - 1


def encode_cursor(*parts: int) -> str:
    """A cursor that holds ``parts``, URL-safe."""
    raw = ".".join(str(part) for part in parts).encode()
    return base64.urlsafe_b64encode(raw).decode().rstrip("=")


def decode_cursor(text: str, count: int) -> tuple[int, ...]:
    """The ``count`` integers of a cursor; raises CursorError for anything that is not one."""
    try:
        if len(text) > _MAX_CHARS:
            raise ValueError
        raw = base64.urlsafe_b64decode(text + "=" * (-len(text) % 4)).decode("ascii")
        parts = tuple(int(part) for part in raw.split("."))
        if len(parts) != count or any(not 0 <= part <= _MAX_INTEGER for part in parts):
            raise ValueError
    except (ValueError, binascii.Error):
        shown = text if len(text) <= 40 else text[:37] + "..."
        raise CursorError(
            f'{shown!r} is not a cursor of this list; use the value of "next", or none'
        ) from None
    return parts
