"""Where the broker tests play: one stage for each adapter, each test with names of its own."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Iterator, Sequence
from typing import Any, Protocol, TypeVar
from uuid import uuid4

import aio_pika

from eventbus import Event, Pattern
from eventbus.brokers import Broker, Incoming, Link, open_broker
from eventbus.brokers.binding import decode
from eventbus.brokers.in_process import InProcessBroker, InProcessExchange

LONG_S = 60.0
"""A limit that only a hanging test reaches."""
MAX_BYTES = 1_048_576
T = TypeVar("T")


class Stage(Protocol):
    """``broker`` gives one that hears what all others of the same stage publish."""

    name: str

    def broker(self, queue: str = "q", take: Sequence[str] = ("#",)) -> Broker: ...

    def close(self) -> None: ...


class InProcessStage:
    name = "in-process"

    def __init__(self) -> None:
        self.exchange = InProcessExchange()

    def broker(self, queue: str = "q", take: Sequence[str] = ("#",)) -> Broker:
        return InProcessBroker(self.exchange, queue, [Pattern(text) for text in take])

    def close(self) -> None:
        self.exchange.queues.clear()


class RabbitMqStage:
    name = "rabbitmq"

    def __init__(self, url: str) -> None:
        self.prefix = f"t{uuid4().hex[:12]}"
        self.server_url = url
        self._queues: set[str] = set()

    @property
    def url(self) -> str:
        return f"{self.server_url}?exchange={self.prefix}"

    def queue(self, queue: str) -> str:
        """The queue's name on the server."""
        return f"{self.prefix}.{queue}"

    def broker(self, queue: str = "q", take: Sequence[str] = ("#",), options: str = "") -> Broker:
        self._queues.add(self.queue(queue))
        patterns = [Pattern(text) for text in take]
        return open_broker(self.url + options, name=self.queue(queue), take=patterns)

    def close(self) -> None:
        async def clear() -> None:
            async with await aio_pika.connect(self.server_url) as connection:
                channel = await connection.channel()
                for queue in self._queues:
                    await channel.queue_delete(queue)
                    await channel.queue_delete(f"{queue}.dead")
                await channel.exchange_delete(self.prefix)

        with contextlib.suppress(OSError, aio_pika.exceptions.AMQPError):  # it may be stopped
            run(clear())


class KafkaStage:
    name = "kafka"

    def __init__(self, url: str) -> None:
        self.topic = f"t{uuid4().hex[:12]}"
        self.server_url = url

    @property
    def url(self) -> str:
        return f"{self.server_url}?topic={self.topic}&partitions=3&prefetch=200"

    def group(self, queue: str) -> str:
        """The consumer group's name on the server."""
        return f"{self.topic}.{queue}"

    def broker(self, queue: str = "q", take: Sequence[str] = ("#",), options: str = "") -> Broker:
        patterns = [Pattern(text) for text in take]
        return open_broker(self.url + options, name=self.group(queue), take=patterns)

    def close(self) -> None:
        """Topics and groups stay until the server is started anew: they cost next to nothing."""


@contextlib.contextmanager
def opened(stage: Stage) -> Iterator[Stage]:
    """The stage, cleared away at the end."""
    try:
        yield stage
    finally:
        stage.close()


def run(awaitable: Awaitable[T]) -> T:
    """Run to the end, or fail when it hangs."""

    async def bounded() -> T:
        async with asyncio.timeout(LONG_S):
            return await awaitable

    return asyncio.run(bounded())


def make_event(n: int, type: str = "test.made", **attributes: Any) -> Event:
    """An event with a number; its subject repeats every ten."""
    given = {"source": "/tests", "subject": f"s{n % 10}", **attributes}
    return Event.create(type, {"n": n, **given.pop("data", {})}, **given)


async def receive(
    link: Link, count: int, *, acknowledge: bool = True, quiet_s: float | None = None
) -> list[Event]:
    """``count`` events; with ``quiet_s`` all that come until nothing does for so long."""
    found: list[Event] = []
    while quiet_s is not None or len(found) < count:
        try:
            async with asyncio.timeout(quiet_s if quiet_s is not None else LONG_S / 2):
                messages = await link.receive()
        except TimeoutError:
            if quiet_s is not None:
                break
            raise AssertionError(f"got {len(found)} messages, not {count}") from None
        found += map(event_of, messages)
        if acknowledge:
            await link.acknowledge(messages)
    return found


def event_of(message: Incoming) -> Event:
    return decode(message, MAX_BYTES)


def numbers(events: Sequence[Event]) -> list[int]:
    """The numbers of events, each once, in the order in which they came first."""
    return list(dict.fromkeys(event["n"] for event in events))
