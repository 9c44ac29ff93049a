"""The relay out: the handler of a durable subscription that publishes to the broker, in order."""

from __future__ import annotations

import asyncio
from collections import OrderedDict, deque
from collections.abc import Callable, Mapping, Sequence

from eventbus.brokers.broker import Link
from eventbus.errors import BrokerBusyError, BrokerRefusedError, DeliveryReturnedError
from eventbus.event import Event
from eventbus.log.commit import call_soon
from eventbus.patterns import Pattern, PatternIndex

RELAY_NAME = "broker-relay"
MOST_AT_ONCE = 1_000
"""Events that are on their way to the broker: one attempt each of the relay's subscription."""
_MOST_CHARS = 4 * 1024 * 1024  # of one batch's payloads
_MOST_REMEMBERED = 20_000
_FIRST_PAUSE_S, _LONGEST_PAUSE_S = 0.2, 15.0

Waiting = tuple[Event, "asyncio.Future[None]"]


class Relay:
    """Called by the bus like any async handler, on its loop; ``run`` lives on the broker's.

    The subscription's key is the event itself, so that the bus begins all deliveries in the
    order of the log without waiting for one to end: they are published in this order by one link,
    which keeps it for each subject too. Until the broker has confirmed an event its attempt does
    not end, however long that takes: an outage is no failure of any delivery.
    """

    # What it does ends elsewhere: a crash of this process is no failed attempt of it.
    is_remote = True

    def __init__(
        self,
        patterns: Sequence[Pattern],
        broker_loop: asyncio.AbstractEventLoop,
        on_busy: Callable[[str], None],
        on_well: Callable[[], None],
    ) -> None:
        """``on_busy`` is told why the broker takes nothing now, ``on_well`` that it does again."""
        self._wanted: PatternIndex[bool] = PatternIndex()
        for pattern in patterns:
            self._wanted.add(pattern, True)
        self._broker_loop = broker_loop
        self._on_busy = on_busy
        self._on_well = on_well
        self._handed: list[Waiting] = []  # on the bus's loop, to be handed over together
        self._is_closed = False
        # On the broker's loop: what the broker has not confirmed, in order.
        self._queue: deque[Waiting] = deque()
        self._more = asyncio.Event()
        self._sent: OrderedDict[tuple[str, str], None] = OrderedDict()
        self.sent_count = 0
        self.refused_count = 0

    @property
    def is_idle(self) -> bool:
        """Whether everything that was begun is confirmed."""
        return not self._queue and not self._handed

    def has_sent(self, event: Event) -> bool:
        """Whether the event went out lately, so that it is in the log for certain."""
        return (event.source, event.id) in self._sent

    # -- on the bus's loop -------------------------------------------------------------------

    async def __call__(self, event: Event) -> None:
        """Return when the broker has the event. Raises BrokerRefusedError when it never will."""
        if event.family == "bus" or not self._wanted.match(event.type):
            return  # what the bus says about itself is nobody else's
        if self._is_closed:
            raise DeliveryReturnedError("the relay has ended")
        loop = asyncio.get_running_loop()
        confirmed: asyncio.Future[None] = loop.create_future()
        if not self._handed:
            loop.call_soon(self._hand_over)
        self._handed.append((event, confirmed))
        await confirmed

    def end(self) -> None:
        """Give back what is not confirmed: it is sent at the next start."""
        self._is_closed = True
        error = DeliveryReturnedError("the relay has ended")
        for _, confirmed in [*self._handed, *self._queue]:
            if not confirmed.done():
                confirmed.set_exception(error)
        self._handed = []

    def _hand_over(self) -> None:
        handed, self._handed = self._handed, []
        if handed:
            call_soon(self._broker_loop, self._take, handed)

    # -- on the broker's loop ----------------------------------------------------------------

    def _take(self, handed: list[Waiting]) -> None:
        self._queue.extend(handed)
        self._more.set()

    async def run(self, link: Link) -> None:
        """Publish what there is for as long as the link lives. Raises BrokerAwayError."""
        pause_s, limit = _FIRST_PAUSE_S, MOST_AT_ONCE
        while True:
            while not self._queue:
                self._more.clear()
                await self._more.wait()
            batch = self._batch(limit)
            try:
                refused = await link.publish([event for event, _ in batch])
            except BrokerBusyError as error:
                self._on_busy(str(error))
                self._confirmed(batch[: error.confirmed], {})
                limit = 1  # to find out which event it is about, if it is about one
                await asyncio.sleep(pause_s)
                pause_s = min(_LONGEST_PAUSE_S, pause_s * 2)
                continue
            self._confirmed(batch, refused)
            if limit == 1:
                self._on_well()
            pause_s, limit = _FIRST_PAUSE_S, MOST_AT_ONCE

    def _batch(self, limit: int) -> list[Waiting]:
        batch: list[Waiting] = []
        chars = 0
        for waiting in self._queue:
            chars += len(waiting[0].data_json)
            if batch and (len(batch) >= limit or chars > _MOST_CHARS):
                break
            batch.append(waiting)
        return batch

    def _confirmed(self, batch: Sequence[Waiting], refused: Mapping[int, str]) -> None:
        if not batch:
            return
        for index, (event, _) in enumerate(batch):
            self._queue.popleft()
            if index not in refused:
                self._sent[event.source, event.id] = None
        while len(self._sent) > _MOST_REMEMBERED:
            self._sent.popitem(last=False)
        self.sent_count += len(batch) - len(refused)
        self.refused_count += len(refused)
        call_soon(batch[0][1].get_loop(), _resolve, batch, refused)


def by_event(event: Event) -> str:
    """The ordering key: nothing waits for another, see ``Relay``."""
    return event.id


def _resolve(batch: Sequence[Waiting], refused: Mapping[int, str]) -> None:
    for index, (_, confirmed) in enumerate(batch):
        if confirmed.done():
            continue
        if index in refused:
            confirmed.set_exception(BrokerRefusedError(refused[index]))
        else:
            confirmed.set_result(None)
