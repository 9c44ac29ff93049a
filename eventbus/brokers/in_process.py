"""A broker within the process: for tests, and for several buses in one; it keeps nothing."""

from __future__ import annotations

import asyncio
import itertools
from collections import deque
from collections.abc import Mapping, Sequence

from eventbus.brokers.binding import attributes_of
from eventbus.brokers.broker import Incoming
from eventbus.errors import BrokerAwayError
from eventbus.event import Event
from eventbus.log.commit import call_soon
from eventbus.patterns import Pattern


class InProcessExchange:
    """What stands for the server: queues by name, bound by patterns. Any thread may use it.

    Everything here is guarded by the interpreter's own lock: each change is one operation of a
    deque or dict. ``is_away`` set to True makes it refuse all that is asked of it.
    """

    def __init__(self) -> None:
        self.queues: dict[str, InProcessQueue] = {}
        self.is_away = False

    def publish(self, message: Incoming, type: str) -> None:
        """Give the message to every queue that is bound to its type."""
        for queue in list(self.queues.values()):
            if any(pattern.matches(type) for pattern in queue.patterns):
                queue.put(message)


class InProcessQueue:
    """Messages in order; those that were given back come first again."""

    def __init__(self, name: str, patterns: Sequence[Pattern]) -> None:
        self.name = name
        self.patterns = tuple(patterns)
        self.messages: deque[Incoming] = deque()
        self.links: list[InProcessLink] = []
        self._turn = itertools.count()

    def put(self, message: Incoming) -> None:
        self.messages.append(message)
        self.wake()

    def put_back(self, messages: Sequence[Incoming]) -> None:
        self.messages.extendleft(reversed(messages))
        self.wake()

    def wake(self) -> None:
        """Have every reader look: whoever comes first takes what there is."""
        for link in list(self.links):
            link.wake()


class InProcessBroker:
    """See ``Broker``; ``exchange`` is shared by all that are to hear each other."""

    name = "in-process"

    def __init__(
        self, exchange: InProcessExchange, queue: str, take: Sequence[Pattern], prefetch: int = 200
    ) -> None:
        self.shown = f"in-process:{queue}"
        self._exchange = exchange
        self._queue = queue
        self._take = tuple(take)
        self._prefetch = prefetch

    async def connect(self) -> InProcessLink:
        if self._exchange.is_away:
            raise BrokerAwayError("it is switched off")
        queue = None
        if self._take:
            queue = self._exchange.queues.setdefault(
                self._queue, InProcessQueue(self._queue, self._take)
            )
            queue.patterns = self._take
        return InProcessLink(self._exchange, queue, self._prefetch)


class InProcessLink:
    """See ``Link``."""

    warning: str | None = None

    def __init__(
        self, exchange: InProcessExchange, queue: InProcessQueue | None, prefetch: int
    ) -> None:
        self._exchange = exchange
        self._queue = queue
        self._prefetch = prefetch
        self._unsettled: dict[str, Incoming] = {}
        self._loop = asyncio.get_running_loop()
        self._news = asyncio.Event()
        self._is_closed = False
        if queue is not None:
            queue.links.append(self)

    def wake(self) -> None:
        call_soon(self._loop, self._news.set)

    async def publish(self, events: Sequence[Event]) -> Mapping[int, str]:
        for event in events:
            self._check()
            message = Incoming(
                event.data_json.encode(), event.datacontenttype, attributes_of(event), None,
                "/in-process", f"{event.source} {event.id}",
            )  # fmt: skip
            self._exchange.publish(message, event.type)
        return {}

    async def receive(self) -> Sequence[Incoming]:
        while True:
            self._check()
            self._news.clear()
            taken: list[Incoming] = []
            queue = self._queue
            while queue and queue.messages and len(self._unsettled) < self._prefetch:
                message = queue.messages.popleft()
                self._unsettled[message.mark] = message
                taken.append(message)
            if taken:
                return taken
            await self._news.wait()

    async def acknowledge(self, messages: Sequence[Incoming]) -> None:
        self._check()
        for message in messages:
            self._unsettled.pop(message.mark, None)
        self._news.set()

    async def give_back(self, messages: Sequence[Incoming]) -> None:
        self._check()
        if self._queue is not None:
            self._queue.put_back([m for m in messages if self._unsettled.pop(m.mark, None)])

    async def close(self) -> None:
        if self._is_closed:
            return
        self._is_closed = True
        self._news.set()
        if self._queue is not None:
            self._queue.links.remove(self)
            self._queue.put_back(list(self._unsettled.values()))
            self._unsettled.clear()

    def _check(self) -> None:
        if self._is_closed or self._exchange.is_away:
            raise BrokerAwayError("it was switched off" if self._exchange.is_away else "closed")
