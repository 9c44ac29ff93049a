"""The life of one WebSocket, in the request thread that the server keeps for it."""

from __future__ import annotations

import logging
from abc import ABC, abstractmethod
from typing import TYPE_CHECKING

from app.live.client import Client, ClientGoneError
from app.live.fragments import Fragments
from app.live.history import Span, read_span
from app.live.page import Filled, hello_frame, span_frame
from app.live.stream import send_from_log

if TYPE_CHECKING:
    from app.live.hub import LiveHub

_GOODBYE_S = 0.5
_HUB_TURN_S = 5.0
_SERVICE_RESTART = 1012  # IANA registry of close codes; browsers reconnect after it
_INTERNAL_ERROR = 1011

log = logging.getLogger(__name__)


class Session(ABC):
    """Greets a client, brings it to the hub's position, and again whenever it falls behind.

    While the client is a member of a view this thread sleeps, but for writing what the client was
    too slow to take at once. So a slow client costs nobody but its own thread.
    """

    def __init__(self, hub: LiveHub, client: Client) -> None:
        self.hub = hub
        self.client = client

    def run(self) -> None:
        """Serve the client until one side ends it; the socket is free to be closed after."""
        code, reason = _SERVICE_RESTART, "service restart"
        self.hub.enter(self.client)
        try:
            self._serve()
        except ClientGoneError:
            log.debug("a client left")
        except Exception:
            # An answer cannot be made out of it: this connection speaks WebSocket by now.
            log.exception("serving a WebSocket failed")
            code, reason = _INTERNAL_ERROR, "internal error"
        finally:
            self.hub.leave(self.client)
            self.client.close(code, reason, _GOODBYE_S)

    def _serve(self) -> None:
        client = self.client
        self.greet()
        while not client.must_go:
            if not client.is_joined:
                self._catch_up()
            elif client.sock.has_backlog:
                client.drain()
            else:
                client.wait()

    def _catch_up(self) -> None:
        client, hub = self.client, self.hub
        while not client.must_go:
            client.drain()  # what is newer has no place before what waits already
            target = hub.position
            if client.position < target:
                self.fill(target)
                client.position = target
            elif client.position > target:
                # It read its position from the log; the hub will be there within a tick.
                hub.wait_for(client.position, _HUB_TURN_S)
            if hub.join(client):
                return

    @abstractmethod
    def greet(self) -> None:
        """Write what comes first on a new connection."""

    @abstractmethod
    def fill(self, target: int) -> None:
        """Write what lies between the client's position and ``target``, from the log."""


class StreamSession(Session):
    """Everything, event by event."""

    def greet(self) -> None:
        """A program is told at once where its stream begins, should nothing have to be filled."""
        send_from_log(self.hub.log, self.client, max(self.client.position, self.hub.position))

    def fill(self, target: int) -> None:
        send_from_log(self.hub.log, self.client, target)


class PageSession(Session):
    """What a person can take in: the newest rows, and counts of the rest."""

    def __init__(
        self, hub: LiveHub, client: Client, fragments: Fragments, boot: str | None
    ) -> None:
        super().__init__(hub, client)
        self._fragments = fragments
        self._boot = boot

    def greet(self) -> None:
        client, target = self.client, self.hub.log.last_sequence
        span = read_span(self.hub.log, client.pattern, client.position, target)
        filled = (
            Filled(client.position + 1, target, span.count) if client.position < target else None
        )
        is_restarted = self._boot is not None and self._boot != self.hub.boot
        removed = filled and self.hub.log.newest_removed(client.pattern, client.position)
        client.send(hello_frame(self.hub.boot, client.position, filled, is_restarted, removed))
        if filled is not None:
            self._send(span)
            client.position = target

    def fill(self, target: int) -> None:
        self._send(read_span(self.hub.log, self.client.pattern, self.client.position, target))

    def _send(self, span: Span) -> None:
        frame = span_frame(self._fragments, span)
        self._fragments.forget()  # nobody else is shown these rows
        self.client.send(frame)
