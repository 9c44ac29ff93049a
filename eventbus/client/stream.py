"""A subscription without a name in the client: what is published while it lives, without a hole."""

from __future__ import annotations

import asyncio
import json
import logging
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast
from urllib.parse import urlencode

from eventbus.cancels import Cancel, in_order
from eventbus.client.consumer import recorded_event
from eventbus.client.effects import RemoteEffects
from eventbus.client.handling import Handling
from eventbus.client.link import Link, LinkSettings
from eventbus.client.websocket import NORMAL, WebSocket
from eventbus.errors import (
    EventBusError,
    HandlerTimeoutError,
    HandshakeRefusedError,
    RejectError,
)
from eventbus.event import Event
from eventbus.failures import describe
from eventbus.subscription import Handler, RetryPolicy
from eventbus.workers import WorkerPool

if TYPE_CHECKING:
    from eventbus.client.remote import RemoteEventBus

log = logging.getLogger("eventbus.client")

MAX_WAITING = 1_000
MAX_WAITING_CHARS = 16 * 1024 * 1024
_GOODBYE_S = 1.0

Publish = Callable[[list[Event]], Any]


@dataclass(frozen=True, slots=True)
class StreamOptions:
    """A subscription without a name as it was asked for; ``name`` tells it from others."""

    name: str
    pattern: str
    handler: Handler
    concurrency: int
    policy: RetryPolicy


class RemoteStream:
    """Belongs to the client's loop.

    Events of one subject are handled one at a time and in order, others at the same time. What
    fails is tried again here; after the last attempt it is left, with an error in the log. When
    too much waits, the connection is given up and taken up again at the same place later, so that
    a slow handler costs the bus nothing.
    """

    def __init__(
        self, options: StreamOptions, settings: LinkSettings, pool: WorkerPool,
        owner: object, publish: Publish,
    ) -> None:  # fmt: skip
        """``publish`` takes what a handler has published when it has succeeded."""
        self.link = Link(settings, f"the subscription {options.name!r}", self)
        self._options = options
        self._pool = pool
        self._owner = owner
        self._publish = publish
        self._position: int | None = None  # in the log; everything up to here has come
        self._waiting: dict[str, deque[Event]] = {}
        self._count = 0
        self._chars = 0
        self._tasks: set[asyncio.Task[None]] = set()
        self._running: set[Handling] = set()
        self._places = asyncio.Semaphore(options.concurrency)
        self._has_room = asyncio.Event()

    def path(self) -> str:
        query: dict[str, object] = {"type": self._options.pattern}
        if self._position is not None:
            query["after"] = self._position
        return f"/api/stream?{urlencode(query)}"

    def refused(self, error: HandshakeRefusedError) -> None:
        if error.status == 400 and self._position is not None:
            log.warning(
                "%s was at %d, which the bus does not know (%s): it goes on at the log's end",
                self._options.name, self._position, error.detail,
            )  # fmt: skip
            self._position = None

    async def serve(self, socket: WebSocket, ready: Callable[[], None]) -> None:
        """Take events until the connection ends, or until there is no room for more."""
        while not self.link.is_closing:
            frame = json.loads(await socket.receive())
            if "removed_upto" in frame:
                log.warning(
                    "%s was at %d: of what came since, retention has removed some, up to %d",
                    self._options.name, frame["sequence"], frame["removed_upto"],
                )  # fmt: skip
            for value in frame["events"]:
                self._take(recorded_event(value))
            self._position = frame["sequence"]
            ready()
            if self._is_full(1):
                await socket.close(NORMAL, _GOODBYE_S)
                while self._is_full(2) and not self.link.is_closing:
                    self._has_room.clear()
                    await self._has_room.wait()
                return

    async def close(self, timeout_s: float) -> None:
        """Take no more, let what runs end within ``timeout_s``; what waits is left."""
        self.link.close()
        self._has_room.set()
        socket = self.link.socket
        for events in self._waiting.values():
            while len(events) > 1:
                events.pop()
        if socket is not None:
            await socket.close(NORMAL, _GOODBYE_S)
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=timeout_s)
        for task in self._tasks:
            task.cancel()

    def _is_full(self, share: int) -> bool:
        return self._count * share >= MAX_WAITING or self._chars * share >= MAX_WAITING_CHARS

    def _take(self, event: Event) -> None:
        self._count += 1
        self._chars += len(event.data_json)
        events = self._waiting.get(event.subject)
        if events is not None:
            events.append(event)
            return
        self._waiting[event.subject] = deque([event])
        task = asyncio.get_running_loop().create_task(self._work(event.subject))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _work(self, subject: str) -> None:
        events = self._waiting[subject]
        while events:
            event = events[0]
            await self._handle(event)
            events.popleft()
            self._count -= 1
            self._chars -= len(event.data_json)
            self._has_room.set()
        del self._waiting[subject]

    async def _handle(self, event: Event) -> None:
        policy = self._options.policy
        for number in range(1, policy.max_attempts + 1):
            effects = RemoteEffects(event, self._options.name, self._owner)
            async with self._places:
                if self.link.is_closing and number > 1:
                    return
                error = await self._attempt(event, effects)
            if error is None:
                await self._do(effects)
                return
            is_last = number == policy.max_attempts or isinstance(error, RejectError)
            log.log(
                logging.ERROR if is_last else logging.WARNING,
                "%s failed for %s event %s, attempt %d of %d, %s: %s: %s",
                self._options.name, event.type, event.id, number, policy.max_attempts,
                "it is left" if is_last else "will be retried", *describe(error)[:2],
            )  # fmt: skip
            if is_last or self.link.is_closing:
                return
            await asyncio.sleep(policy.delay_after_s(number, error))

    async def _do(self, effects: RemoteEffects) -> None:
        bus = cast("RemoteEventBus", self._owner)
        for each in in_order(effects.events, effects.cancels):
            if not isinstance(each, Cancel):
                self._publish(list(each))
                continue
            try:
                await bus.cancel(each.id, source=each.source, by=each.by)
            except EventBusError as error:
                log.error("%s cancels event %s in vain: %s", self._options.name, each.id, error)

    async def _attempt(self, event: Event, effects: RemoteEffects) -> Exception | None:
        handling = Handling(self._options.handler, event, effects, self._pool)
        timeout_s = self._options.policy.timeout_s
        timer = asyncio.get_running_loop().call_later(timeout_s, handling.stop)
        try:
            await handling.run()
        except Exception as error:
            failure: Exception | None = error
        else:
            failure = None
        finally:
            timer.cancel()
        if handling.is_stopped:
            return HandlerTimeoutError(f"the handler ran longer than its {timeout_s:g} s")
        return failure
