"""Follows /api/stream as a program would: keeps its position, comes back after every break."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlencode

from tests.helpers.raw_websocket import RawWebSocket
from tests.helpers.server import ServerProcess


class StreamReader:
    """Collects what a pattern's stream gives; ``position`` is where it would go on."""

    def __init__(self, server: ServerProcess, type: str = "#", after: int = 0) -> None:
        self.events: list[dict[str, Any]] = []
        self.position = after
        self._server = server
        self._type = type
        self._ws: RawWebSocket | None = None

    @property
    def sequences(self) -> list[int]:
        """The sequences of the events, in the order in which they came."""
        return [event["sequence"] for event in self.events]

    def connect(self, receive_buffer: int | None = None) -> None:
        """Open the stream at ``position``."""
        query = urlencode({"type": self._type, "after": self.position})
        self._ws = RawWebSocket(self._server.port, f"/api/stream?{query}", receive_buffer)

    def drop(self) -> None:
        """Lose the connection."""
        if self._ws is not None:
            self._ws.drop()
            self._ws = None

    def read_frame(self, timeout_s: float = 20.0) -> bool:
        """Take the next frame; False when the connection ended or nothing came in time."""
        assert self._ws is not None, "connect first"
        frame = self._ws.receive(timeout_s)
        if frame is None:
            return False
        for event in frame["events"]:
            assert self.position < event["sequence"] <= frame["sequence"]
            self.position = event["sequence"]
            self.events.append(event)
        assert frame["sequence"] >= self.position
        self.position = frame["sequence"]
        return True

    def read_to(self, sequence: int) -> None:
        """Read until the stream is complete up to ``sequence``."""
        while self.position < sequence:
            assert self.read_frame(), f"the stream ended at {self.position}, before {sequence}"
