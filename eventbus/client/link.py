"""A link: a WebSocket to the bus that is made again whenever it breaks, until it is closed."""

from __future__ import annotations

import asyncio
import concurrent.futures
import logging
import random
import threading
from abc import abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from eventbus.client.connection import authorization
from eventbus.client.websocket import WebSocket
from eventbus.errors import HandshakeRefusedError, SocketClosedError, SubscriptionError

log = logging.getLogger("eventbus.client")

_GONE = 4410  # the bus's close code for a subscription that somebody has ended
_REFUSALS = (400, 404, 409)  # about what was asked for, not about the moment


@dataclass(frozen=True, slots=True)
class LinkSettings:
    """Where the bus is and how patient to be with it, in seconds."""

    url: str
    timeout_s: float
    ping_every_s: float
    backoff_first_s: float
    backoff_max_s: float
    token: str | None = None


class Service(Protocol):
    """What a link is for."""

    @abstractmethod
    def path(self) -> str:
        """Path and query of the next connection."""

    @abstractmethod
    def refused(self, error: HandshakeRefusedError) -> None:
        """The bus did not take the last path; the next may be another."""

    @abstractmethod
    async def serve(self, socket: WebSocket, ready: Callable[[], None]) -> None:
        """Use a connection until it breaks or is not needed; ``ready`` tells that it works."""


class Link:
    """Belongs to its loop, but for ``is_ready`` and ``first``, which any thread may wait for.

    It says in the log when the bus goes away and when it is back, each once.
    """

    def __init__(self, settings: LinkSettings, name: str, service: Service) -> None:
        self.is_ready = threading.Event()
        # Done when the first attempt has ended well, or failed; SubscriptionError when refused.
        self.first: concurrent.futures.Future[None] = concurrent.futures.Future()
        self.is_closing = False
        self.is_ending = False  # the client itself asks the bus to end the subscription
        self.is_ended = False  # by somebody who has ended the subscription
        self.socket: WebSocket | None = None
        self._settings = settings
        self._name = name
        self._service = service
        self._is_away = False
        self._failures = 0
        self._wake = asyncio.Event()

    async def run(self) -> None:
        """Connect and serve, again and again."""
        while not (self.is_closing or self.is_ended):
            try:
                await self._once()
            except (HandshakeRefusedError, SocketClosedError, OSError) as error:
                self._failed(error)
            except Exception as error:  # a mistake here; the subscription must not end with it
                log.exception("serving %s failed", self._name)
                self._failed(error)
            finally:
                self.is_ready.clear()
            if self._failures and not (self.is_closing or self.is_ended):
                await self._pause()

    def close(self) -> None:
        """Connect no more; what the current connection is used for goes on."""
        self.is_closing = True
        self._wake.set()

    async def _once(self) -> None:
        settings = self._settings
        socket = await WebSocket.connect(
            settings.url, self._service.path(), settings.timeout_s, settings.ping_every_s,
            authorization(settings.token),
        )  # fmt: skip
        try:
            self.socket = socket
            await self._service.serve(socket, self._works)
        finally:
            self.socket = None
            socket.abort()

    def _works(self) -> None:
        self._failures = 0
        if self._is_away:
            self._is_away = False
            log.warning("the event bus at %s is back for %s", self._settings.url, self._name)
        self.is_ready.set()
        if not self.first.done():
            self.first.set_result(None)

    def _failed(self, error: Exception) -> None:
        self._failures += 1
        is_first = not self.first.done()
        is_refused = isinstance(error, HandshakeRefusedError) and error.status in _REFUSALS
        if isinstance(error, SocketClosedError) and error.code == _GONE:
            self.is_ended = True
            if not self.is_ending:
                log.warning("%s is served no more: %s", self._name, error)
        elif is_first and is_refused:
            log.debug("%s is refused: %s", self._name, error)  # which is told to who subscribes
        elif not (self._is_away or self.is_closing):
            self._is_away = True
            log.warning(
                "the event bus at %s is away for %s (%s); trying again",
                self._settings.url, self._name, str(error) or type(error).__name__,
            )  # fmt: skip
        if isinstance(error, HandshakeRefusedError):
            self._service.refused(error)
        if is_first and is_refused:
            self.first.set_exception(SubscriptionError(str(error)))
        elif is_first:
            self.first.set_result(None)

    async def _pause(self) -> None:
        first_s, most_s = self._settings.backoff_first_s, self._settings.backoff_max_s
        delay_s = min(first_s * 2.0 ** min(self._failures - 1, 30), most_s)
        try:
            async with asyncio.timeout(delay_s * random.uniform(0.75, 1.25)):
                await self._wake.wait()
        except TimeoutError:
            return
