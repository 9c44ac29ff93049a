"""A load of POSTs that costs little itself: one thread, raw sockets, requests made beforehand."""

from __future__ import annotations

import re
import selectors
import socket
import time
from collections.abc import Iterator, Sequence

_LENGTH = re.compile(rb"content-length:\s*(\d+)", re.I)
_TIMEOUT_S = 60.0


def post_request(body: bytes, path: str = "/api/events") -> bytes:
    """A POST of JSON as it goes over the wire."""
    return (
        f"POST {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\n"
        f"Content-Length: {len(body)}\r\n\r\n"
    ).encode() + body


def answer_end(data: bytes | bytearray) -> int:
    """Where the first answer in ``data`` ends; 0 while it is not there whole."""
    head = data.find(b"\r\n\r\n")
    if head < 0:
        return 0
    found = _LENGTH.search(data, 0, head)
    end = head + 4 + (int(found[1]) if found else 0)
    return end if len(data) >= end else 0


def send_all(port: int, requests: Sequence[bytes], connections: int = 8) -> float:
    """Send every request, each connection one after the other; gives the seconds until all were
    answered with 202. Raises RuntimeError for any other answer.
    """
    left: Iterator[bytes] = iter(requests)
    selector = selectors.DefaultSelector()
    socks = [socket.create_connection(("127.0.0.1", port)) for _ in range(connections)]
    answered = 0
    started = time.perf_counter()
    try:
        for sock in socks:
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            first = next(left, None)
            if first is not None:
                sock.sendall(first)
                selector.register(sock, selectors.EVENT_READ, bytearray())
        while answered < len(requests):
            ready = selector.select(_TIMEOUT_S)
            if not ready:
                raise RuntimeError(f"no answer within {_TIMEOUT_S:g} s")
            for key, _ in ready:
                sock, data = key.fileobj, key.data
                part = sock.recv(1 << 16)
                data += part
                if not part:
                    raise RuntimeError(f"the connection ended after {bytes(data)!r}")
                if not answer_end(data):
                    continue
                if b" 202 " not in data[:20]:
                    raise RuntimeError(f"not accepted: {bytes(data[:500])!r}")
                data.clear()
                answered += 1
                following = next(left, None)
                if following is not None:
                    sock.sendall(following)
        return time.perf_counter() - started
    finally:
        selector.close()
        for sock in socks:
            sock.close()
