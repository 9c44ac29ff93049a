"""One consumer's WebSocket: written to by the bus, read by the request thread that it has."""

from __future__ import annotations

import logging
import threading
from collections import deque
from collections.abc import Iterator
from typing import cast

from simple_websocket import Server

from app.consume.inbox import Inbox
from app.live.client import close_websocket
from app.live.frames import text_frame
from app.live.socket import OutboundSocket

log = logging.getLogger(__name__)

NORMAL, GOING_AWAY, VIOLATION, INTERNAL_ERROR = 1000, 1001, 1008, 1011  # RFC 6455 §7.4.1
_ORDERLY = (NORMAL, GOING_AWAY)
_GOODBYE_S = 0.5
_DRAIN_S = 0.02
_MAX_REASON_BYTES = 120  # a control frame has 125, two of which are the code (RFC 6455 §5.5)


class Connection:
    """``send`` and ``end`` may be called from any thread and never block, the rest by its own.

    What the socket does not take waits in ``_unsent``; the consumer's prefetch, in events and in
    bytes, bounds what that can be.
    """

    def __init__(self, ws: Server, sock: OutboundSocket, prefetch: int, max_chars: int) -> None:
        """``max_chars`` bounds one message of the consumer's."""
        self._ws = ws
        self._sock = sock
        self._woken: threading.Event = ws.event  # simple-websocket's reader sets it as well
        self._lock = threading.Lock()  # guards _unsent, so that messages keep their order
        self._unsent: deque[bytes] = deque()
        self._ending: tuple[int, str] | None = None
        # An answer for each delivery that it holds, and a few more words.
        self._inbox = Inbox(2 * prefetch + 100, 2 * max_chars)
        ws.max_message_size = max_chars
        ws.input_buffer = cast("list[str | bytes]", self._inbox)
        sock.on_change(self._woken.set)

    @property
    def is_orderly(self) -> bool:
        """Whether the consumer said goodbye, rather than being cut off."""
        return self._ws.close_reason in _ORDERLY

    def send(self, text: str) -> None:
        """Write a message, or keep it until the peer reads."""
        frame = text_frame(text)
        with self._lock:
            if self._unsent or not self._sock.offer(frame):
                self._unsent.append(frame)

    def end(self, code: int, reason: str) -> None:
        """Have the connection closed."""
        self._ending = self._ending or (code, reason)
        self._woken.set()

    def messages(self) -> Iterator[str | bytes]:
        """What the consumer says, as it comes, until either side ends the connection."""
        while True:
            self._woken.clear()  # before looking, so that nothing that comes after is missed
            is_over = self._is_over
            while (message := self._inbox.take()) is not None:
                yield message
            if is_over:
                return
            if self._sock.has_backlog or self._unsent:
                self._write()
            elif not self._is_over:
                self._woken.wait()

    def close(self) -> None:
        """End the connection, telling the peer why."""
        code, reason = self._ending or (NORMAL, "")
        short = reason.encode()[:_MAX_REASON_BYTES].decode(errors="ignore")
        close_websocket(self._ws, self._sock, code, short, _GOODBYE_S)

    @property
    def _is_over(self) -> bool:
        return self._ending is not None or self._sock.is_closed or not self._ws.connected

    def _write(self) -> None:
        self._sock.drain(_DRAIN_S)
        with self._lock:
            while self._unsent and self._sock.offer(self._unsent[0]):
                self._unsent.popleft()
