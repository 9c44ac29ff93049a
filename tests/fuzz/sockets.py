"""Hostile WebSocket clients: random, broken, oversized and half frames, and what must hold."""

from __future__ import annotations

import json
import random
import select
import socket
import struct
import time
from collections import Counter
from dataclasses import dataclass, field
from urllib.parse import quote

from tests.helpers.raw_websocket import handshake

PATHS = (
    "/api/stream?type=fuzz.*",
    "/api/stream?after=0",
    "/live?type=fuzz.*",
    f"/api/subscriptions/{quote('fuzz consumer')}/consume?type=fuzz.*&prefetch=4",
    "/api/subscriptions/other/consume?type=#&prefetch=1&max_attempts=2",
)
_MOST_FRAMES = 60
_ANSWER_S = 15.0
_TEXTS = (
    '{"ack": 1}', '{"nack": 1, "error": {}}', '{"leave": true}', "{}", "[]", "null", "0", '""',
    '{"ack": 1, "events": [{"type": "fuzz.caused", "data": {"x": 1}}]}', '{"ack": "1"}',
    '{"ack": -1}', '{"ack": 1e999}', '{"ack": 1, "events": 7}', '{"nack": 1, "reject": "x"}',
    '{"ack": 1, "ack": 2}', "[" * 5_000, '{"ack": 99999999999999999999999}', "\x00",
)  # fmt: skip


@dataclass(slots=True)
class SocketTally:
    """What happened to the connections, and what must not have been."""

    frames: int = 0
    connections: int = 0
    closes: Counter[str] = field(default_factory=Counter)
    failures: list[str] = field(default_factory=list)


def storm(port: int, frames: int, tally: SocketTally, number: int) -> None:
    """At least ``frames`` hostile frames, on one connection after the other."""
    made_up = random.Random(number)
    while tally.frames < frames and len(tally.failures) < 20:
        path = made_up.choice(PATHS)
        answer, sock = handshake(port, path)
        tally.connections += 1
        if answer.status != 101:
            if answer.status >= 500 and answer.status != 503:
                tally.failures.append(f"{path}: {answer.status} {answer.text}")
            sock.close()
            continue
        with sock:
            _attack(sock, path, made_up, tally)


def _attack(sock: socket.socket, path: str, made_up: random.Random, tally: SocketTally) -> None:
    """Frames until the server has enough, or we have; then it must let go of the connection."""
    sock.settimeout(_ANSWER_S)
    try:
        for _ in range(made_up.randint(1, _MOST_FRAMES)):
            sock.sendall(frame(made_up))
            tally.frames += 1
            has_more = made_up.random() < 0.3 and select.select([sock], [], [], 0)[0]
            if has_more and not sock.recv(65_536):
                break
        if made_up.random() < 0.5:
            tally.closes["dropped"] += 1
            return
        # A whole close: whatever came before, the server must end the connection now.
        sock.sendall(_masked(0x88, struct.pack("!H", 1000), made_up))
        sock.shutdown(socket.SHUT_WR)
        deadline = time.monotonic() + _ANSWER_S
        while sock.recv(65_536):
            if time.monotonic() > deadline:
                tally.failures.append(f"{path}: the connection was not ended in {_ANSWER_S} s")
                return
        tally.closes["ended"] += 1
    except TimeoutError:
        tally.failures.append(f"{path}: the server has hung for {_ANSWER_S} s")
    except OSError:
        tally.closes["reset"] += 1  # it has closed while we still sent


def frame(made_up: random.Random) -> bytes:
    """One frame, right or wrong in any of the ways that RFC 6455 §5.2 leaves open."""
    kind = made_up.randrange(12)
    if kind <= 3:
        return _masked(0x81, made_up.choice(_TEXTS).encode(), made_up)
    if kind == 4:
        return _masked(0x81, json.dumps({"ack": made_up.randrange(-2, 2**70)}).encode(), made_up)
    if kind == 5:
        return _masked(0x82, made_up.randbytes(made_up.randrange(200)), made_up)
    if kind == 6:  # a first part, or a part of nothing
        return _masked(made_up.choice((0x01, 0x02, 0x00, 0x80)), b"part", made_up)
    if kind == 7:  # control frames: too long, in parts, close with any code
        first = made_up.choice((0x88, 0x89, 0x8A, 0x08, 0x09, 0x0A))
        return _masked(first, made_up.randbytes(made_up.choice((0, 1, 2, 125, 126))), made_up)
    if kind == 8:  # announces more than it has, up to 2^63
        size = made_up.choice((10, 70_000, 2**31, 2**63 - 1, 2**64 - 1))
        return bytes((0x81, 0xFF)) + struct.pack("!Q", size) + made_up.randbytes(4 + 5)
    if kind == 9:  # without a mask, as only servers may
        return bytes((0x81, 2)) + b"hi"
    if kind == 10:
        return _masked(0x81, b"\xff\xfe\xc3\x28" + made_up.randbytes(20), made_up)
    return made_up.randbytes(made_up.randrange(1, 60))


def _masked(first: int, payload: bytes, made_up: random.Random) -> bytes:
    key = made_up.randbytes(4)
    if len(payload) < 126:
        head = bytes((first, 0x80 | len(payload)))
    elif len(payload) < 65_536:
        head = bytes((first, 0x80 | 126)) + struct.pack("!H", len(payload))
    else:
        head = bytes((first, 0x80 | 127)) + struct.pack("!Q", len(payload))
    return head + key + bytes(byte ^ key[at % 4] for at, byte in enumerate(payload))
