"""A consumer that speaks the protocol by hand: each frame is a step of the test."""

from __future__ import annotations

import json
from typing import Any
from urllib.parse import quote, urlencode

from tests.helpers.raw_websocket import RawWebSocket
from tests.helpers.server import ServerProcess

Json = dict[str, Any]


def consume_path(name: str, type: str, **options: object) -> str:
    """The path of a subscription's socket."""
    return f"/api/subscriptions/{quote(name)}/consume?{urlencode({'type': type, **options})}"


class ConsumerSocket:
    """An open connection of a consumer; a context manager that drops it."""

    def __init__(self, server: ServerProcess, name: str, type: str, **options: object) -> None:
        self.ws = RawWebSocket(server.port, consume_path(name, type, **options))
        ready = self.ws.receive()
        assert ready["ready"] == name
        self.session: str = ready["session"]

    def __enter__(self) -> ConsumerSocket:
        return self

    def __exit__(self, *error: object) -> None:
        self.ws.drop()

    def receive(self, kind: str = "delivery", timeout_s: float = 10.0) -> Json:
        """The next frame of a kind; other kinds in between are skipped."""
        while True:
            frame: Json | None = self.ws.receive(timeout_s)
            assert frame is not None, f"no {kind} came; the connection: {self.ws.close_code}"
            if kind in frame:
                return frame

    def has_nothing(self, kind: str = "delivery", within_s: float = 0.3) -> bool:
        """Whether no frame of this kind comes for a while."""
        while (frame := self.ws.receive(within_s)) is not None:
            if kind in frame:
                return False
        return True

    def wait_closed(self) -> int:
        """The code with which the server ends the connection; no delivery may come before."""
        while (frame := self.ws.receive()) is not None:
            assert "delivery" not in frame, frame
        assert self.ws.close_code is not None, "the connection was not ended"
        return self.ws.close_code

    def ack(self, frame: Json, *events: Json) -> None:
        self.say({"ack": frame["delivery"], "events": list(events)})

    def nack(self, frame: Json, **more: Any) -> None:
        error = {"class": "OddError", "message": "odd", "traceback": "line 7"}
        self.say({"nack": frame["delivery"], "error": error, **more})

    def say(self, message: Json) -> None:
        self.ws.send(json.dumps(message))

    def close(self, code: int = 1000) -> None:
        """Say goodbye, and wait for the answer."""
        self.ws.say_goodbye(code)
        while self.ws.close_code is None:
            self.ws.receive()
