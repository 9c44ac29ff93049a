"""A consumer: one process that handles deliveries of a subscription, over its connections."""

from __future__ import annotations

import asyncio
import secrets
from typing import Protocol

from eventbus.consumers.frames import (
    Answer,
    cancel_frame,
    delivery_frame,
    ready_frame,
    settled_frame,
)
from eventbus.event import Event

# What one consumer may hold unanswered in bytes of payload, beside its prefetch in events. One
# event always fits, however large.
MAX_HELD_BYTES = 8 * 1024 * 1024


class Outlet(Protocol):
    """The writing side of a connection; both methods return at once and may be called anywhere."""

    def send(self, text: str) -> None:
        """Write a message, or keep it until the peer reads."""

    def end(self, code: int, reason: str) -> None:
        """Close the connection."""


class Held:
    """A delivery that a consumer has not answered; ``is_over`` when nobody waits for that."""

    __slots__ = ("answer", "event", "is_over", "number")

    def __init__(self, number: int, event: Event, answer: asyncio.Future[Answer]) -> None:
        self.number = number
        self.event = event
        self.answer = answer
        self.is_over = False


class Consumer:
    """Lives on the bus's loop alone, but for ``id`` and ``prefetch``, which never change.

    It outlives its connection for a while: one that comes back with the same ``id`` is sent again
    what it held, under the same numbers, and nothing else has happened. A delivery whose time is
    up keeps its place among ``prefetch`` until the consumer says that the handler has ended.
    """

    def __init__(self, id: str, prefetch: int) -> None:
        self.id = id
        self.prefetch = prefetch
        self.session = secrets.token_hex(8)  # numbers of deliveries mean something within it
        self.outlet: Outlet | None = None
        self.is_leaving = False
        self.load = 0  # how many deliveries it holds that somebody waits for
        self._held: dict[int, Held] = {}
        self._held_bytes = 0
        self._next = 0

    @property
    def room(self) -> int:
        """How many more deliveries it may be sent now."""
        if self.outlet is None or self.is_leaving:
            return 0
        if self._held and self._held_bytes >= MAX_HELD_BYTES:
            return 0
        return max(0, self.prefetch - len(self._held))

    @property
    def free_share(self) -> float:
        """How much of its prefetch is free, so that consumers of all sizes fill up evenly."""
        return self.room / self.prefetch

    def connect(self, outlet: Outlet, subscription: str) -> Outlet | None:
        """Speak to it through ``outlet``; returns the connection that this replaces."""
        before, self.outlet = self.outlet, outlet
        outlet.send(ready_frame(subscription, self.prefetch, self.session, self._held))
        for held in self._held.values():
            outlet.send(delivery_frame(held.number, held.event))
            if held.is_over:
                outlet.send(cancel_frame(held.number))
        return before

    def deliver(self, event: Event, answer: asyncio.Future[Answer]) -> Held:
        """Send it an event to handle; ``answer`` is fulfilled when it has."""
        self._next += 1
        held = self._held[self._next] = Held(self._next, event, answer)
        self._held_bytes += len(event.data_json)
        self.load += 1
        self._send(delivery_frame(held.number, event))
        return held

    def cancel(self, held: Held) -> None:
        """Nobody waits for this delivery any more."""
        if held.number in self._held and not held.is_over:
            held.is_over = True
            self.load -= 1
            self._send(cancel_frame(held.number))

    def take(self, answer: Answer) -> None:
        """It has answered; what it does not hold, or nobody waits for, was answered too late."""
        held = self._held.pop(answer.delivery, None)
        if held is None:
            self.settle((answer.delivery,))  # or it would keep its answer for ever
            return
        self._held_bytes -= len(held.event.data_json)
        self.load -= not held.is_over
        if held.answer.done():
            self.settle((held.number,))
        else:
            held.answer.set_result(answer)

    def settle(self, numbers: tuple[int, ...] | list[int]) -> None:
        """Tell it that its answers to these deliveries are in the log."""
        self._send(settled_frame(numbers))

    def drop_all(self, error: Exception) -> None:
        """It holds nothing any more; what somebody waits for ends with ``error``."""
        for held in self._held.values():
            if not held.answer.done():
                held.answer.set_exception(error)
        self._held.clear()
        self._held_bytes = self.load = 0

    def _send(self, text: str) -> None:
        if self.outlet is not None:
            self.outlet.send(text)
