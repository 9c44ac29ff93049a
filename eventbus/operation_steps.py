"""The steps of operations: each changes some deliveries in one transaction, or waits for room."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from concurrent.futures import TimeoutError as FutureTimeoutError
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

from eventbus.errors import BusClosedError, OperationError
from eventbus.event import Event
from eventbus.log import operations as stored
from eventbus.log.commit import call_soon
from eventbus.log.deliveries import Unfinished
from eventbus.log.selections import Replayed, Selection
from eventbus.log.unit import Unit
from eventbus.log.values import Operation
from eventbus.timestamps import to_microseconds

if TYPE_CHECKING:
    from eventbus.bus import EventBus

T = TypeVar("T")

# What one transaction changes, or records: a few milliseconds under the commit lock.
_CHUNK = 200
_NO_ROOM_S = 0.02
# That are pending at a subscription which another process serves: it has not more in memory.
_MOST_ELSEWHERE = 5_000
_LOOP_POLL_S = 0.1
# How finely a rate is kept to.
_RATE_STEP_S = 0.1


class Steps(Protocol):
    """What the thread of the operations runs."""

    def step(self) -> float | None:
        """Do some of it; returns in how many seconds to go on, None at the end."""
        ...


def at_once(rate: float | None) -> int:
    """How many one step may deal with, so that ``rate`` a second is kept to finely."""
    return _CHUNK if rate is None else min(_CHUNK, max(1, int(rate * _RATE_STEP_S)))


class DiscardSteps:
    """Makes the selected dead letters discarded ones."""

    def __init__(
        self, bus: EventBus, operation: Operation, selection: Selection, upto_us: int,
        closing: threading.Event,
    ) -> None:  # fmt: skip
        self._bus = bus
        self._operation = operation
        self._selection = selection
        self._upto_us = upto_us
        ids = bus.log.delivery_lists.subscription_ids(selection.subscription)
        self._parts = [(subscription, 0) for subscription in ids]

    def step(self) -> float | None:
        if not self._parts:
            return None
        subscription, after = self._parts.pop(0)
        keys, position, is_last = self._bus.log.delivery_lists.next_dead(
            self._selection, subscription, after, self._upto_us, _CHUNK
        )
        if keys:
            id, at_us = self._operation.id, to_microseconds(self._bus.now())

            def discard(conn: Any) -> None:
                changed = stored.discard(conn, id, at_us, subscription, keys)
                stored.advance(conn, id, len(changed), len(keys) - len(changed))

            self._bus.log.commit(Unit(call=discard))
        if not is_last:
            self._parts.append((subscription, position))
        return 0.0


class RedriveSteps:
    """Makes the selected dead letters pending again, as their lanes have room for them."""

    def __init__(
        self, bus: EventBus, operation: Operation, selection: Selection, upto_us: int,
        closing: threading.Event,
    ) -> None:  # fmt: skip
        self._bus = bus
        self._operation = operation
        self._selection = selection
        self._upto_us = upto_us
        self._return = _Return(bus, operation, closing)
        name = selection.subscription
        self._parts = [
            (known.id, 0) for known in bus.log.subscribers() if name is None or known.name == name
        ]

    def step(self) -> float | None:
        # All subscriptions in turn: one that is slow or stuck holds up none of the others.
        parts, self._parts = self._parts, []
        has_moved = False
        for number, (subscription, after) in enumerate(parts):
            try:
                room = self._return.room(subscription)
                if room == 0:
                    self._parts.append((subscription, after))
                    continue
                keys, position, is_last = self._bus.log.delivery_lists.next_dead(
                    self._selection, subscription, after, self._upto_us, room
                )
                if keys:
                    self._return.make_pending(subscription, keys, ("dead",))
            except BaseException:
                self._parts += parts[number:]
                raise
            has_moved = True
            if not is_last:
                self._parts.append((subscription, position))
        if not self._parts:
            return None
        return 0.0 if has_moved else _NO_ROOM_S


class ReplaySteps:
    """Makes deliveries of recorded events pending again, at a rate and as there is room."""

    def __init__(
        self, bus: EventBus, operation: Operation, replayed: Replayed, position: int,
        closing: threading.Event,
    ) -> None:  # fmt: skip
        self._bus = bus
        self._replayed = replayed
        self._rate = operation.rate
        self._position = position
        self._last = replayed.last or 0
        self._return = _Return(bus, operation, closing)

    def step(self) -> float | None:
        if self._position >= self._last:
            return None
        name = self._replayed.subscription
        own = next((known for known in self._bus.log.subscribers() if known.name == name), None)
        if own is None:
            raise OperationError(f"{name!r} was unsubscribed")
        room = self._return.room(own.id)
        if room == 0:
            return _NO_ROOM_S
        limit = min(room, at_once(self._rate))
        events, position = self._bus.log.replay_reader.next(
            self._replayed, own.pattern, self._position, self._last, limit
        )
        sequences = [event.sequence or 0 for event in events]
        self._return.make_pending(
            own.id, sequences, ("succeeded", "dead", "cancelled"), events=events, position=position
        )
        self._position = position
        return 0.0 if self._rate is None else len(events) / self._rate


class _Return:
    """Makes deliveries pending in the log and brings them to their lane, in this order.

    Used by the operations' thread, which asks the bus's loop and waits for its answers.
    """

    def __init__(self, bus: EventBus, operation: Operation, closing: threading.Event) -> None:
        self._bus = bus
        self._operation = operation
        self._closing = closing

    def room(self, subscription: int) -> int:
        """How many may come back now, at most 200; what nobody serves waits in the log."""
        room = self._on_loop(lambda: self._bus.dispatcher.returns.room(subscription))
        if room is not None:
            return min(room, _CHUNK)
        if not self._bus.serving.is_elsewhere(subscription):
            return _CHUNK
        is_full = self._bus.log.delivery_reader.has_pending(subscription, _MOST_ELSEWHERE)
        return 0 if is_full else _CHUNK

    def make_pending(
        self, subscription: int, sequences: Sequence[int], states: Sequence[str],
        *, events: Sequence[Event] | None = None, position: int | None = None,
    ) -> None:  # fmt: skip
        """``events`` are given by a replay, which has deliveries made that do not exist yet."""
        log, returns, id = self._bus.log, self._bus.dispatcher.returns, self._operation.id
        at_us = to_microseconds(self._bus.now())
        # Before anything is pending: afterwards nothing must come between it and its lane.
        found = log.delivery_lists.events(sequences) if events is None else events
        changed: list[int] = []

        def change(conn: Any) -> None:
            changed.clear()  # called anew when the commit is tried again
            if stored.is_subscribed(conn, subscription):
                changed.extend(stored.make_pending(
                    conn, id, at_us, subscription, sequences, states, new_too=events is not None
                ))  # fmt: skip
            skipped = len(sequences) - len(changed)
            stored.advance(conn, id, len(changed), skipped, position)

        before = self._on_loop(lambda: returns.expect(subscription, sequences))
        try:
            # Another process may serve it, or may by the time of the commit.
            log.commit(Unit(call=change, topic=self._bus.serving.told(subscription, sequences)))
        except BaseException:
            self._on_loop(lambda: returns.forget(subscription, sequences))
            raise
        is_pending = set(changed)
        pending = [Unfinished(e, 0, None) for e in found if e.sequence in is_pending]
        if self._on_loop(lambda: self._bus.dispatcher.lane_of(subscription)) is not before:
            # Subscribed anew meanwhile, which may have cancelled it.
            pending = [each for each in pending if self._is_pending(each, subscription)]
        self._on_loop(lambda: returns.hand(subscription, pending, sequences))

    def _is_pending(self, unfinished: Unfinished, subscription: int) -> bool:
        row = self._bus.log.delivery_reader.one(unfinished.event.sequence or 0, subscription)
        return row is not None and row[0] == "pending"

    def _on_loop(self, function: Callable[[], T]) -> T:
        return ask_loop(self._bus.dispatcher.loop, function, self._closing)


def ask_loop(
    loop: asyncio.AbstractEventLoop, function: Callable[[], T], closing: threading.Event
) -> T:
    """What ``function`` returns or raises on the bus's loop; BusClosedError when that closes."""
    answer: Future[T] = Future()

    def call() -> None:
        try:
            answer.set_result(function())
        except BaseException as error:
            answer.set_exception(error)

    call_soon(loop, call)
    while True:
        try:
            return answer.result(_LOOP_POLL_S)
        except FutureTimeoutError:
            if answer.done():
                raise
            if closing.is_set():
                raise BusClosedError("the bus is closing") from None
