"""WebSocket frames as a client reads them, and what the messages of our two sockets say."""

from __future__ import annotations

import json
import os
from collections import OrderedDict
from collections.abc import Iterator
from dataclasses import dataclass

TEXT, CLOSE, PING, PONG = 1, 8, 9, 10
_FIN = 0x80
_MOST_KNOWN = 64


@dataclass(frozen=True, slots=True)
class Decision:
    """What the server decided about a failed evaluation: retry or exhausted."""

    verdict: str
    eval_id: str
    retry_count: int


@dataclass(frozen=True, slots=True)
class Message:
    """``position`` up to which a stream is complete with it, None when it is about something else.

    ``sequences`` are those of the events in it; a page's message has their ``count`` alone.
    """

    position: int | None
    count: int = 0
    sequences: tuple[int, ...] = ()
    decisions: tuple[Decision, ...] = ()


def frames(data: bytearray) -> Iterator[tuple[int, bytes, bool]]:
    """Take the whole frames from the front of ``data``: opcode, payload, whether it is the last."""
    while len(data) >= 2:
        size, head = data[1], 2
        if size == 126:
            size, head = int.from_bytes(data[2:4]), 4
        elif size == 127:
            size, head = int.from_bytes(data[2:10]), 10
        if len(data) < head + size:
            return
        first, payload = data[0], bytes(data[head : head + size])
        del data[: head + size]
        yield first & 0x0F, payload, bool(first & _FIN)


def pong(payload: bytes) -> bytes:
    """The masked answer to a ping of at most 125 bytes (RFC 6455 §5.5.3)."""
    mask = os.urandom(4)
    masked = bytes(byte ^ mask[index % 4] for index, byte in enumerate(payload))
    return bytes((_FIN | PONG, 0x80 | len(payload))) + mask + masked


class Reading:
    """Reads messages; one that many sockets get is parsed once."""

    def __init__(self) -> None:
        self._known: OrderedDict[bytes, Message] = OrderedDict()

    def message(self, text: bytes) -> Message:
        """What a text frame says. Raises ValueError for what is neither of the two kinds."""
        known = self._known.get(text)
        if known is None:
            known = self._known[text] = _parsed(text)
            if len(self._known) > _MOST_KNOWN:
                self._known.popitem(last=False)
        return known


def _parsed(text: bytes) -> Message:
    value = json.loads(text)
    if "events" in value:
        events = value["events"]
        decisions = tuple(
            Decision(
                event["type"].rpartition(".")[2],
                str(event["data"].get("eval_id")),
                event["data"].get("retry_count", 0),
            )
            for event in events
            if event["type"] in ("evaluation.retry", "evaluation.exhausted")
        )
        sequences = tuple(event["sequence"] for event in events)
        return Message(value["sequence"], len(events), sequences, decisions)
    if value.get("kind") in ("rows", "behind"):
        return Message(value["sequence"], value["count"])
    if value.get("kind") in ("hello", "panels"):
        return Message(None)
    raise ValueError(f"an unknown message: {text[:200]!r}")
