"""A consumer group: the handler of a durable subscription whose work is done by consumers."""

from __future__ import annotations

import asyncio
from contextlib import suppress

from eventbus.bus import EventBus
from eventbus.cancels import Cancel, in_order
from eventbus.consumers.consumer import Consumer
from eventbus.consumers.frames import Answer
from eventbus.consumers.terms import Terms
from eventbus.errors import BusClosedError, DeliveryReturnedError
from eventbus.event import Event
from eventbus.log.unit import Unit

# How long answers are gathered before consumers are told that they are in the log.
_SETTLE_EVERY_S = 0.1


class ConsumerGroup:
    """Called by the bus like any async handler; lives on its loop.

    The bus's own machinery orders, retries and buries; this only chooses who handles a delivery,
    waits for the answer and makes the consumer's further events effects of the delivery. The
    subscription's concurrency is kept at what the consumers have room for, so that no
    delivery's time runs before somebody handles it.
    """

    is_remote = True

    def __init__(self, bus: EventBus, terms: Terms) -> None:
        self.terms = terms
        self.consumers: dict[str, Consumer] = {}
        self._bus = bus
        self._answered: dict[Consumer, list[int]] = {}
        self._settling: asyncio.Task[None] | None = None

    async def __call__(self, event: Event) -> None:
        """Have one of the consumers handle the event."""
        consumer = max(self.consumers.values(), key=lambda c: c.free_share, default=None)
        if consumer is None or consumer.room == 0:
            self.fit()
            raise DeliveryReturnedError(f"no consumer of {self.terms.name!r} has room")
        loop = asyncio.get_running_loop()
        held = consumer.deliver(event, loop.create_future())
        self.fit()
        try:
            answer = await held.answer
        except asyncio.CancelledError:
            consumer.cancel(held)
            self.fit()
            raise
        self._settle_later(consumer, answer)
        if answer.error is not None:
            raise answer.error
        self._do(answer)

    def _do(self, answer: Answer) -> None:
        """What the consumer's handler asked for, in its order, as effects of the delivery."""
        for each in in_order(answer.events, answer.cancels):
            if isinstance(each, Cancel):
                self._bus.cancel(each.id, source=each.source, by=each.by)
            else:
                self._bus.publish_many(each)

    def take(self, consumer: Consumer, answer: Answer) -> None:
        """A consumer has answered."""
        consumer.take(answer)
        self.fit()

    def fit(self) -> None:
        """Let the bus hand over as many deliveries as the consumers have room for."""
        concurrency = sum(c.load + c.room for c in self.consumers.values())
        # Also when it is the same: the lane may be a new one, that another process had before.
        self._bus.dispatcher.set_concurrency(self.terms.name, concurrency)

    def _settle_later(self, consumer: Consumer, answer: Answer) -> None:
        self._answered.setdefault(consumer, []).append(answer.delivery)
        if self._settling is None or self._settling.done():
            self._settling = asyncio.get_running_loop().create_task(self._settle())

    async def _settle(self) -> None:
        while self._answered:
            await asyncio.sleep(_SETTLE_EVERY_S)
            answered, self._answered = self._answered, {}
            # Units are committed in the order in which they were submitted: when this empty one
            # is, then so are the outcomes of all these deliveries.
            unit = Unit()
            committed: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            unit.waiters.append((asyncio.get_running_loop(), committed))
            with suppress(BusClosedError):
                self._bus.log.submit(unit)
                await committed
                if unit.error is None:
                    for consumer, numbers in answered.items():
                        consumer.settle(numbers)
