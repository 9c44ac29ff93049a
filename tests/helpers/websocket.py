"""A WebSocket client that also sees what the server sends right behind its handshake."""

from __future__ import annotations

from simple_websocket import Client


class WebSocket(Client):  # type: ignore[misc]
    """simple_websocket's, which leaves frames that come together with the answer to the handshake
    lying until more comes."""

    def handshake(self) -> None:
        super().handshake()
        self.connected = self._handle_events()
