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
        raise _refused(text) from None
    return parts


def encode_place(position: int, is_back: bool = False) -> str:
    """A cursor of a list that is read in both directions from ``position``, exclusive."""
    return encode_cursor(position, 1) if is_back else encode_cursor(position)


def decode_place(text: str) -> tuple[int, bool]:
    """Position and direction of a cursor of ``encode_place``; raises CursorError."""
    try:
        position, direction = decode_cursor(text, 2)
    except CursorError:
        return decode_cursor(text, 1)[0], False
    if direction != 1:
        raise _refused(text)
    return position, True


def _refused(text: str) -> CursorError:
    shown = text if len(text) <= 40 else text[:37] + "..."
    return CursorError(f'{shown!r} is not a cursor of this list; use the value of "next", or none')
