"""A WebSocket client that reads only when told to, and shows what a refused handshake answered."""

from __future__ import annotations

import base64
import json
import os
import select
import socket
from collections.abc import Mapping
from contextlib import suppress
from types import TracebackType
from typing import Any, Self

from wsproto.connection import Connection, ConnectionType
from wsproto.events import BytesMessage, CloseConnection, Ping, TextMessage
from wsproto.utilities import LocalProtocolError

from tests.helpers.api import Answer

_TIMEOUT_S = 20.0


def handshake(
    port: int, path: str, headers: Mapping[str, str] | None = None
) -> tuple[Answer, socket.socket]:
    """Ask for a WebSocket; gives the answer (101 when it began) and the connection.

    An empty value in ``headers`` leaves a header out. After a 101 the answer's body is what
    already came after it.
    """
    fields = {
        "Host": f"127.0.0.1:{port}",
        "Upgrade": "websocket",
        "Connection": "Upgrade",
        "Sec-WebSocket-Version": "13",
        "Sec-WebSocket-Key": base64.b64encode(os.urandom(16)).decode(),
        **(headers or {}),
    }
    lines = [
        f"GET {path} HTTP/1.1",
        *(f"{name}: {value}" for name, value in fields.items() if value),
    ]
    sock = socket.create_connection(("127.0.0.1", port), timeout=_TIMEOUT_S)
    sock.sendall("\r\n".join([*lines, "", ""]).encode())
    head, rest = _read_head(sock)
    status_line, *header_lines = head.split("\r\n")
    status = int(status_line.split()[1])
    names = {
        name.lower(): value.strip() for name, value in (line.split(":", 1) for line in header_lines)
    }
    if status != 101:
        while len(rest) < int(names.get("content-length", 0)):
            part = sock.recv(65_536)
            if not part:
                raise ConnectionError(f"the connection ended in the answer's body: {rest!r}")
            rest += part
        sock.close()
    return Answer(status, names, rest), sock


def _read_head(sock: socket.socket) -> tuple[str, bytes]:
    data = b""
    while b"\r\n\r\n" not in data:
        part = sock.recv(65_536)
        if not part:
            raise ConnectionError(f"the connection ended in the answer's head: {data!r}")
        data += part
    head, _, rest = data.partition(b"\r\n\r\n")
    return head.decode("latin-1"), rest


class HandshakeRefusedError(ConnectionError):
    """The server answered, but not with a WebSocket."""


class RawWebSocket:
    """An open WebSocket without a thread; a context manager that drops the connection.

    Raises HandshakeRefusedError with the answer when there is to be none.
    ``receive_buffer`` bounds what the kernel takes while nobody reads.
    """

    def __init__(
        self,
        port: int,
        path: str,
        receive_buffer: int | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        answer, self._sock = handshake(port, path, headers)
        if answer.status != 101:
            raise HandshakeRefusedError(f"{answer.status}: {answer.text}")
        if receive_buffer is not None:
            self._sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        self._connection = Connection(ConnectionType.CLIENT)
        self._unfinished = ""
        self._texts: list[str] = []
        self.close_code: int | None = None
        if answer.body:
            self._hear(answer.body)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.drop()

    def drop(self) -> None:
        """End the connection without a word, as a lost network does."""
        self._sock.close()

    def say_goodbye(self, code: int) -> None:
        """Begin to close the connection in order."""
        self._sock.sendall(self._connection.send(CloseConnection(code)))

    def send(self, data: str | bytes) -> None:
        """Send one message."""
        event = TextMessage(data) if isinstance(data, str) else BytesMessage(data)
        self._sock.sendall(self._connection.send(event))

    def receive(self, timeout_s: float = _TIMEOUT_S) -> Any:
        """The next message, as JSON; None when the connection ended or nothing came in time."""
        while not self._texts:
            if self.close_code is not None:
                return None
            if not select.select([self._sock], [], [], timeout_s)[0]:
                return None
            data = self._sock.recv(65_536)
            if not data:
                self.close_code = self.close_code or 1006
                return None
            self._hear(data)
        return json.loads(self._texts.pop(0))

    def _hear(self, data: bytes) -> None:
        self._connection.receive_data(data)
        for event in self._connection.events():
            self._take(event)

    def _take(self, event: Any) -> None:
        match event:
            case TextMessage():
                self._unfinished += event.data
                if event.message_finished:
                    self._texts.append(self._unfinished)
                    self._unfinished = ""
            case Ping():
                self._sock.sendall(self._connection.send(event.response()))
            case CloseConnection():
                self.close_code = event.code
                with suppress(
                    OSError, LocalProtocolError
                ):  # who closes because of an error does not wait for this
                    self._sock.sendall(self._connection.send(event.response()))
