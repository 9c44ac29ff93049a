"""Bytes as they are to a server and back, for requests that no HTTP client would send."""

from __future__ import annotations

import socket


def send_raw(port: int, request: bytes, timeout_s: float = 10.0) -> bytes:
    """Send and read until the server closes; raises TimeoutError when it keeps us waiting."""
    with socket.create_connection(("127.0.0.1", port), timeout=timeout_s) as connection:
        connection.sendall(request)
        received = b""
        while chunk := connection.recv(65_536):
            received += chunk
    return received


def status_of(response: bytes) -> int:
    """The status of a raw answer; 0 when there was none."""
    return int(response.split(b" ", 2)[1]) if response.startswith(b"HTTP/1.") else 0
