"""A WebSocket on an event loop: wsproto speaks RFC 6455, asyncio moves the bytes."""

from __future__ import annotations

import asyncio
import json
import ssl
from collections import deque
from collections.abc import Mapping
from contextlib import suppress
from typing import Any
from urllib.parse import urlsplit

from wsproto import ConnectionType, WSConnection
from wsproto import events as ws
from wsproto.connection import ConnectionState
from wsproto.utilities import LocalProtocolError, RemoteProtocolError

from eventbus.errors import HandshakeRefusedError, SocketClosedError

NORMAL = 1000
ABNORMAL = 1006  # RFC 6455 §7.4.1: the connection ended without a close frame
_PROTOCOL_ERROR = 1002
_MAX_REFUSAL_BYTES = 65_536
_READ_BYTES = 65_536


class WebSocket:
    """One connection; belongs to the loop on which it was made."""

    def __init__(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, ping_every_s: float
    ) -> None:
        self._reader = reader
        self._writer = writer
        self._ping_every_s = ping_every_s
        self._protocol = WSConnection(ConnectionType.CLIENT)
        self._parts: list[str] = []
        self._texts: deque[str] = deque()
        self._has_upgraded = False
        self._refusal: tuple[int, bytearray] | None = None
        self._is_refusal_whole = False
        self._closed: SocketClosedError | None = None
        self._over = asyncio.Event()
        self._is_reading = False

    @classmethod
    async def connect(
        cls,
        url: str,
        path: str,
        timeout_s: float,
        ping_every_s: float,
        headers: Mapping[str, str] | None = None,
    ) -> WebSocket:
        """Connect to ``path`` below the bus's ``url`` within ``timeout_s``, with ``headers``.

        A peer that says nothing for ``ping_every_s`` is asked whether it is there; one that has
        not answered after the same time again is gone. Raises HandshakeRefusedError, OSError,
        SocketClosedError.
        """
        parts = urlsplit(url)
        is_tls = parts.scheme == "https"
        port = parts.port or (443 if is_tls else 80)
        async with asyncio.timeout(timeout_s):  # its TimeoutError is an OSError
            reader, writer = await asyncio.open_connection(
                parts.hostname, port, ssl=ssl.create_default_context() if is_tls else None
            )
            socket = cls(reader, writer, ping_every_s)
            try:
                await socket._shake_hands(
                    parts.netloc, parts.path.rstrip("/") + path, headers or {}
                )
            except BaseException:
                writer.close()
                raise
        return socket

    async def send(self, text: str) -> None:
        """Send one message. Raises SocketClosedError."""
        self._write(ws.TextMessage(data=text))
        with suppress(OSError):  # who receives will notice
            await self._writer.drain()

    async def receive(self) -> str:
        """The next message. Raises SocketClosedError when there will be none."""
        is_asked = False
        while not self._texts:
            if self._closed is not None:
                raise self._closed
            try:
                async with asyncio.timeout(self._ping_every_s):
                    await self._read()
                is_asked = False
            except TimeoutError:
                if is_asked:
                    self._end(ABNORMAL, "the bus does not answer")
                else:
                    is_asked = True
                    self._write(ws.Ping())
        return self._texts.popleft()

    async def close(self, code: int, timeout_s: float) -> None:
        """Say goodbye and wait for the peer's; whoever receives gets SocketClosedError."""
        with suppress(SocketClosedError):
            self._write(ws.CloseConnection(code=code))
        with suppress(TimeoutError, SocketClosedError):
            async with asyncio.timeout(timeout_s):
                if self._is_reading:  # whoever receives will read the peer's goodbye
                    await self._over.wait()
                while self._closed is None:
                    self._texts.clear()
                    await self._read()
        self.abort()

    def abort(self) -> None:
        """End the connection without a word."""
        self._end(ABNORMAL, "closed here")
        self._writer.close()

    async def _shake_hands(self, host: str, target: str, headers: Mapping[str, str]) -> None:
        more = [(name.encode(), value.encode()) for name, value in headers.items()]
        self._write(ws.Request(host=host, target=target, extra_headers=more))
        while not self._has_upgraded:
            await self._read()
            if self._closed is not None:
                raise self._closed
            if self._is_refusal_whole and self._refusal is not None:
                status, body = self._refusal
                raise HandshakeRefusedError(status, _detail(bytes(body)))

    async def _read(self) -> None:
        self._is_reading = True
        try:
            data = await self._reader.read(_READ_BYTES)
            self._protocol.receive_data(data or None)
            for event in self._protocol.events():
                self._take(event)
        except RemoteProtocolError as error:
            self._end(_PROTOCOL_ERROR, f"the peer does not speak WebSocket: {error}")
        except (OSError, LocalProtocolError) as error:
            self._end(ABNORMAL, str(error) or type(error).__name__)
        else:
            if not data:
                self._end(ABNORMAL, "the connection ended")
        finally:
            self._is_reading = False

    def _take(self, event: Any) -> None:
        match event:
            case ws.AcceptConnection():
                self._has_upgraded = True
            case ws.RejectConnection():
                self._refusal = event.status_code, bytearray()
                self._is_refusal_whole = not event.has_body
            case ws.RejectData() if self._refusal is not None:
                body = self._refusal[1]
                body += event.data[: max(0, _MAX_REFUSAL_BYTES - len(body))]
                self._is_refusal_whole = event.body_finished
            case ws.TextMessage():
                self._parts.append(event.data)
                if event.message_finished:
                    self._texts.append("".join(self._parts))
                    self._parts.clear()
            case ws.Ping():
                self._write(event.response())
            case ws.CloseConnection():
                if self._protocol.state is ConnectionState.REMOTE_CLOSING:
                    self._write(event.response())
                self._end(event.code, event.reason or "")

    def _write(self, event: Any) -> None:
        if self._closed is not None:
            raise self._closed
        try:
            self._writer.write(self._protocol.send(event))
        except LocalProtocolError as error:
            self._end(ABNORMAL, str(error))
            raise SocketClosedError(ABNORMAL, str(error)) from None

    def _end(self, code: int, reason: str) -> None:
        self._closed = self._closed or SocketClosedError(code, reason)
        self._over.set()


def _detail(body: bytes) -> str:
    """What a problem document (RFC 9457) says."""
    try:
        problem = json.loads(body)
        return str(problem.get("detail") or problem.get("title"))[:500]
    except (ValueError, AttributeError, RecursionError):
        return "without a reason that can be read"
