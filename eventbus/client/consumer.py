"""A durable subscription in the client: handles what the bus delivers, and answers each."""

from __future__ import annotations

import asyncio
import json
import logging
import math
import secrets
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote, urlencode

from eventbus.client.answers import Answers, Key
from eventbus.client.effects import RemoteEffects
from eventbus.client.handling import Handling
from eventbus.client.link import Link, LinkSettings
from eventbus.client.websocket import NORMAL, WebSocket
from eventbus.errors import (
    HandshakeRefusedError,
    RejectError,
    RetryLaterError,
    SocketClosedError,
)
from eventbus.event import Event
from eventbus.extensions import RESERVED, check_extensions
from eventbus.failures import describe
from eventbus.subscription import Handler
from eventbus.timestamps import parse_time
from eventbus.validation import encode_json
from eventbus.workers import WorkerPool

log = logging.getLogger("eventbus.client")

MAX_ANSWER_CHARS = 8_000_000  # what a bus takes in one message by default
_GOODBYE_S = 1.0


@dataclass(frozen=True, slots=True)
class ConsumerOptions:
    """A durable subscription as it was asked for; None leaves a choice to the bus."""

    name: str
    pattern: str
    handler: Handler
    concurrency: int
    max_attempts: int | None
    timeout_s: float | None


class Run:
    """A handler that is running for the delivery ``number``; None when the bus has lost that."""

    __slots__ = ("handling", "number", "task")

    def __init__(self, number: int | None, handling: Handling) -> None:
        self.number = number
        self.handling = handling
        self.task: asyncio.Task[None] | None = None


class RemoteConsumer:
    """Belongs to the client's loop.

    The bus orders, retries and measures the time; this runs a handler for each delivery, at most
    ``concurrency`` at once because the bus sends no more, and keeps each answer until the bus
    says that it is in its log. A delivery that comes again, because the connection or the bus
    broke before that, is answered from memory, or joined to the handler that still runs.
    """

    def __init__(
        self, options: ConsumerOptions, settings: LinkSettings, pool: WorkerPool, owner: object
    ) -> None:
        """``owner`` is the client, whose publishing in a handler belongs to the delivery."""
        self.link = Link(settings, f"the subscription {options.name!r}", self)
        self._options = options
        self._pool = pool
        self._owner = owner
        self._id = secrets.token_hex(16)
        self._session = ""
        self._answers = Answers()
        self._runs: dict[Key, Run] = {}
        self._stopped: set[Run] = set()  # whose time is up, but whose handler still runs

    def path(self) -> str:
        options = self._options
        query = {
            "type": options.pattern, "prefetch": options.concurrency, "consumer": self._id,
            "max_attempts": options.max_attempts, "timeout": options.timeout_s,
        }  # fmt: skip
        given = {name: value for name, value in query.items() if value is not None}
        return f"/api/subscriptions/{quote(options.name, safe='')}/consume?{urlencode(given)}"

    def refused(self, error: HandshakeRefusedError) -> None:
        log.debug("refused: %s", error)

    async def serve(self, socket: WebSocket, ready: Callable[[], None]) -> None:
        """Take deliveries until the connection ends."""
        while True:
            text = await socket.receive()
            message = json.loads(text)
            match message:
                case {"ready": _, "session": str(session), "held": list(held)}:
                    self._begin(session, held)
                    ready()
                    if self.link.is_closing:
                        await socket.send('{"leave":true}')
                case {"delivery": int(number), "event": dict(event)}:
                    await self._deliver(socket, number, recorded_event(event))
                case {"cancel": int(number)}:
                    await self._cancel(socket, number)
                case {"settled": list(numbers)}:
                    self._answers.settle(numbers)
                case _:
                    log.debug("the bus sent what this client does not know: %.100s", text)

    async def close(self, timeout_s: float) -> None:
        """Take no more, let what runs end within ``timeout_s``; the bus gets the rest back."""
        self.link.close()
        socket = self.link.socket
        if socket is not None:
            with suppress(SocketClosedError):
                await socket.send('{"leave":true}')
        runs = [*self._runs.values(), *self._stopped]
        tasks = [run.task for run in runs if run.task is not None]
        if tasks:
            await asyncio.wait(tasks, timeout=timeout_s)
        for run in runs:
            run.handling.stop()
        socket = self.link.socket
        if socket is not None:
            await socket.close(NORMAL, _GOODBYE_S)
        for task in tasks:
            task.cancel()

    # -- deliveries --------------------------------------------------------------------------

    def _begin(self, session: str, held: list[int]) -> None:
        if session != self._session:
            self._session = session
            for run in [*self._runs.values(), *self._stopped]:
                run.number = None
        self._answers.begin(session, held)

    async def _deliver(self, socket: WebSocket, number: int, event: Event) -> None:
        key = (event.source, event.id)
        given = self._answers.find(number, key)
        if given is not None:
            await socket.send(given.frame(number))
            return
        run = self._runs.get(key)
        if run is not None:
            run.number = number
            return
        effects = RemoteEffects(event, self._options.name, self._owner)
        handling = Handling(self._options.handler, event, effects, self._pool)
        run = self._runs[key] = Run(number, handling)
        run.task = asyncio.get_running_loop().create_task(self._handle(key, run))

    async def _cancel(self, socket: WebSocket, number: int) -> None:
        for key, run in self._runs.items():
            if run.number == number:
                del self._runs[key]
                self._stopped.add(run)
                run.handling.stop()
                return
        if all(run.number != number for run in self._stopped):
            # Not running here: it has ended, and its answer crossed this, or was forgotten.
            await socket.send(f'{{"nack":{number},"error":{{"class":"Ended","message":""}}}}')

    async def _handle(self, key: Key, run: Run) -> None:
        handling = run.handling
        try:
            await handling.run()
            word, rest = "ack", _effects(handling.effects)
            if len(rest) > MAX_ANSWER_CHARS:
                raise ValueError(f"the handler publishes {len(rest)} characters of events at once")
        except Exception as error:
            if not handling.is_stopped:
                self._tell(run, error)
            word, rest = "nack", _failure(error)
        if run in self._stopped:
            self._stopped.discard(run)
            if run.number is not None:  # only to say that its place is free
                await self._send(f'{{"nack":{run.number}{_failure(TimeoutError("too late"))}}}')
            return
        self._runs.pop(key, None)
        given = self._answers.keep(run.number, key, word, rest)
        if run.number is not None:
            await self._send(given.frame(run.number))

    async def _send(self, text: str) -> None:
        socket = self.link.socket
        if socket is not None:
            with suppress(SocketClosedError):  # it will be asked for again
                await socket.send(text)

    def _tell(self, run: Run, error: Exception) -> None:
        event = run.handling.event
        log.warning(
            "%s failed for %s event %s: %s: %s",
            self._options.name, event.type, event.id, *describe(error)[:2],
        )  # fmt: skip


def recorded_event(value: dict[str, Any]) -> Event:
    """An event as the bus has it, in the CloudEvents JSON format."""
    extensions = {name: value[name] for name in value.keys() - RESERVED}
    return Event(
        value["id"], value["source"], value["type"], value["subject"], parse_time(value["time"]),
        "" if value.get("dataremoved") else encode_json(value["data"]),
        sequence=value.get("sequence"),
        correlationid=value.get("correlationid"),
        causationid=value.get("causationid"),
        traceparent=value.get("traceparent"),
        dataschema=value.get("dataschema"),
        extensions_json=check_extensions(extensions, []),
    )  # fmt: skip


def _effects(effects: RemoteEffects) -> str:
    told = ""
    if effects.events:
        told = f',"events":[{",".join(event.to_json() for event in effects.events)}]'
    if effects.cancels:
        told += f',"cancels":{encode_json([cancel.to_dict() for cancel in effects.cancels])}'
    return told


def _failure(error: Exception) -> str:
    kind, message, trace = describe(error)
    told = encode_json({"class": kind, "message": message, "traceback": trace})
    more = ',"reject":true' if isinstance(error, RejectError) else ""
    after_s = getattr(error, "retry_after_s", None) if isinstance(error, RetryLaterError) else None
    if isinstance(after_s, int | float) and math.isfinite(after_s):
        more += f',"retry_after":{max(0.0, float(after_s)):g}'
    return f',"error":{told}{more}'
