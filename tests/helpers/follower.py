"""A thread that reads a WebSocket of the live hub until it ends, as a browser does."""

from __future__ import annotations

import threading

from tests.helpers.raw_websocket import RawWebSocket
from tests.helpers.waiting import wait_until


class Follower(threading.Thread):
    """It runs from the start; ``position`` is the newest sequence that it was told of."""

    def __init__(self, ws: RawWebSocket) -> None:
        super().__init__(daemon=True)
        self.position = 0
        self._ws = ws
        self.start()

    def run(self) -> None:
        while (frame := self._ws.receive()) is not None:
            self.position = max(self.position, frame.get("sequence", 0))

    def wait_for(self, sequence: int) -> None:
        """Wait until it has been told of everything up to a sequence."""
        wait_until(lambda: self.position >= sequence, f"it is at {sequence}", 60.0)
