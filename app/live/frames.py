"""WebSocket frames as bytes, so that one is built once and written to any number of sockets."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

_FINAL_TEXT = 0x81  # FIN and opcode 1; no RSV bit, so not compressed (RFC 7692 §6 allows that)
_ONE_BYTE_MOST = 125
_TWO_BYTES_MOST = 0xFFFF


def text_frame(text: str) -> bytes:
    """One whole text message of a server: unmasked and unfragmented (RFC 6455 §5.2)."""
    payload = text.encode()
    size = len(payload)
    if size <= _ONE_BYTE_MOST:
        head = bytes((_FINAL_TEXT, size))
    elif size <= _TWO_BYTES_MOST:
        head = bytes((_FINAL_TEXT, 126)) + size.to_bytes(2)
    else:
        head = bytes((_FINAL_TEXT, 127)) + size.to_bytes(8)
    return head + payload


def json_frame(message: Mapping[str, Any]) -> bytes:
    """``message`` as compact JSON in one text frame."""
    return text_frame(json.dumps(message, separators=(",", ":"), ensure_ascii=False))
