"""One open WebSocket as the hub knows it."""

from __future__ import annotations

import logging
import threading
from collections import deque
from typing import Literal

from simple_websocket import ConnectionClosed, Server
from wsproto.utilities import LocalProtocolError

from app.live.socket import OutboundSocket
from eventbus import Pattern
from eventbus.lens import Lens

Kind = Literal["page", "json"]
ViewKey = tuple[Kind, str, bool]
"""A kind, a pattern's text, and whether payloads are seen through the mask."""

log = logging.getLogger(__name__)

_READER_END_S = 1.0
_DRAIN_STEP_S = 0.5


class ClientGoneError(Exception):
    """The client is gone, or has to go: its session ends."""


class Client:
    """A WebSocket, what it wants to see, and how far it is.

    ``position`` is the sequence up to which everything that matches ``pattern`` was written to it.
    It belongs to the client's request thread, except while ``is_joined``: then the client is a
    member of a view, the hub writes to it, and its position is the hub's. ``lens`` is what it sees
    events through. ``dismiss`` and what the
    socket tells may come from any thread.
    """

    def __init__(
        self,
        ws: Server,
        sock: OutboundSocket,
        kind: Kind,
        pattern: Pattern,
        position: int,
        lens: Lens | None = None,
    ) -> None:
        self.sock = sock
        self.lens = lens
        self.kind = kind
        self.pattern = pattern
        self.position = position
        self.is_joined = False
        self.fallen_count = 0  # how often it was too slow for its view
        self._is_dismissed = False
        self._ws = ws
        ws.input_buffer = deque(maxlen=1)  # what the client says is never read
        self._woken: threading.Event = ws.event  # the reader thread sets it at the end
        sock.on_change(self._woken.set)

    @property
    def view_key(self) -> ViewKey:
        """Which view shows what it wants to see."""
        return (self.kind, self.pattern.text, self.lens is not None)

    @property
    def must_go(self) -> bool:
        """Whether the session has to end: the peer left, or the server wants it to."""
        return self._is_dismissed or self.sock.is_closed or not self._ws.connected

    def fall_behind(self, position: int) -> None:
        """Leave the view: everything up to ``position`` was written, what follows was not."""
        self.position = position
        self.is_joined = False
        self.fallen_count += 1
        self._woken.set()

    def dismiss(self) -> None:
        """Ask the session to end with a close frame."""
        self._is_dismissed = True
        self._woken.set()

    def wait(self) -> None:
        """Sleep until there is something to do: a backlog, a dismissal, the end, a fall."""
        if not (self.must_go or self.sock.has_backlog or not self.is_joined):
            self._woken.wait()
        self._woken.clear()

    def drain(self) -> None:
        """Block until the client has read what waits for it; raises ClientGoneError."""
        while not self.must_go:
            if self.sock.drain(_DRAIN_STEP_S):
                return
        raise ClientGoneError

    def send(self, frame: bytes) -> None:
        """Write one frame at the client's own pace; raises ClientGoneError."""
        while not self.must_go:
            if self.sock.offer(frame):
                return
            self.drain()
        raise ClientGoneError

    def close(self, code: int, reason: str, patience_s: float) -> None:
        """End the connection: a close frame, a while for the peer's answer, then the end."""
        close_websocket(self._ws, self.sock, code, reason, patience_s)


def close_websocket(
    ws: Server, sock: OutboundSocket, code: int, reason: str, patience_s: float
) -> None:
    """Send a close frame, give the peer ``patience_s`` to answer it, end the connection.

    Returns when the reader thread has ended, so that the server may reuse the descriptor.
    """
    try:
        ws.close(code, reason)
    except (OSError, ConnectionClosed, LocalProtocolError):
        log.debug("the peer had closed already")
    # The reader thread may still have to write the answer to the peer's own close frame.
    ws.thread.join(patience_s)
    sock.close()
    ws.thread.join(_READER_END_S)
