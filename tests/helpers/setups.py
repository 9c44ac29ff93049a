"""A bus here, or one in another process: what the suite that both must pass runs against."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, Protocol

from eventbus import Event, EventBus, RemoteEventBus, RetryPolicy
from tests.helpers.bus import LONG_S
from tests.helpers.server import ServerProcess

Bus = Any  # EventBus or RemoteEventBus


class Setup(Protocol):
    """A bus that can be left and come back to, and a look into its log."""

    bus: Bus

    def reopen(self, while_away: Callable[[], None] = ...) -> Bus: ...

    def deliveries(self, event: Event) -> dict[str, dict[str, Any]]: ...

    def events(self, type: str) -> list[dict[str, Any]]: ...

    def publish_apart(self, type: str, data: dict[str, Any]) -> None: ...


class Local:
    """EventBus on a file."""

    def __init__(self, path: Path) -> None:
        self._url = f"sqlite:///{path}"
        self.bus = self._open()

    def _open(self) -> EventBus:
        return EventBus.open(self._url, retry=RetryPolicy(5, 30.0, 0.01, 0.02))

    def reopen(self, while_away: Callable[[], None] = lambda: None) -> EventBus:
        self.bus.close(LONG_S)
        self.bus = self._open()
        while_away()
        return self.bus

    def deliveries(self, event: Event) -> dict[str, dict[str, Any]]:
        found = self.bus.log.deliveries(event.sequence or 0)
        return {
            d.subscription: {
                "state": d.state, "error_class": d.error_class, "error_message": d.error_message,
                "outcomes": [a.outcome for a in d.attempts],
            }
            for d in found
        }  # fmt: skip

    def events(self, type: str) -> list[dict[str, Any]]:
        chunk = self.bus.log.read(0, limit=1000)
        return [event.to_dict() for event in chunk.events if event.type == type]

    def publish_apart(self, type: str, data: dict[str, Any]) -> None:
        self.bus.publish(type, data).wait()


class Remote:
    """RemoteEventBus at a server in another process."""

    def __init__(self, server: ServerProcess) -> None:
        self._server = server
        self.bus = self._open()

    def _open(self) -> RemoteEventBus:
        return RemoteEventBus(self._server.url, linger_s=0.005, backoff_first_s=0.02)

    def reopen(self, while_away: Callable[[], None] = lambda: None) -> RemoteEventBus:
        self.bus.close(LONG_S)
        while_away()
        self.bus = self._open()
        return self.bus

    def deliveries(self, event: Event) -> dict[str, dict[str, Any]]:
        found = self._server.api.get(f"/api/events/{event.id}/deliveries").json["deliveries"]
        return {
            d["subscription"]: {**d, "outcomes": [a["outcome"] for a in d["attempts"]]}
            for d in found
        }

    def events(self, type: str) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = self._server.api.get(
            "/api/events", type=type, order="asc", limit=1000
        ).json["events"]
        return found

    def publish_apart(self, type: str, data: dict[str, Any]) -> None:
        assert self._server.api.post("/api/events", {"type": type, "data": data}).status == 202
