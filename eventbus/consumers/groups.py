"""All consumer groups of a bus: who comes, who goes, and who did not come back."""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from collections import deque
from collections.abc import Callable
from concurrent.futures import TimeoutError as FutureTimeoutError
from contextlib import suppress
from dataclasses import dataclass
from typing import ParamSpec, TypeVar

from eventbus.actor import signed
from eventbus.bus import EventBus
from eventbus.consumers.consumer import Consumer, Outlet
from eventbus.consumers.frames import Answer, Leave
from eventbus.consumers.group import ConsumerGroup
from eventbus.consumers.terms import Terms
from eventbus.errors import (
    BusClosedError,
    ConsumerLostError,
    DeliveryReturnedError,
    SubscriptionError,
)
from eventbus.log.commit import call_soon
from eventbus.receipt import Receipt
from eventbus.threads import start_thread

logger = logging.getLogger("eventbus.consumers")

GRACE_S = 5.0
# Close codes: 1012 and 1013 as registered with IANA, 4000 and up are ours, after HTTP's.
RESTART, TRY_LATER, CONFLICT, GONE = 1012, 1013, 4409, 4410
_LOOP_PATIENCE_S = 10.0
_DETACH_S = 1.0
_AGAIN_S = 1.0

P = ParamSpec("P")
T = TypeVar("T")


@dataclass(frozen=True, slots=True, eq=False)
class Seat:
    """A consumer's connection in its group."""

    group: ConsumerGroup
    consumer: Consumer
    outlet: Outlet


class ConsumerGroups:
    """Any thread may call; owns the thread "eventbus-consumers", for what waits and blocks.

    ``_changed`` guards everything here, and is held while subscriptions are made and left, so
    that these happen one after the other. The bus's loop never takes it.
    """

    def __init__(self, bus: EventBus, grace_s: float = GRACE_S) -> None:
        """``grace_s`` is how long a consumer whose connection broke may take to come back."""
        self._bus = bus
        self._grace_s = grace_s
        self._changed = threading.Condition()
        self._groups: dict[str, ConsumerGroup] = {}
        self._seats: set[Seat] = set()
        self._parted: deque[tuple[Seat, bool]] = deque()
        self._lost: dict[Seat, float] = {}  # until when to wait for their return
        self._is_closed = False
        self._thread = threading.Thread(target=self._run, name="eventbus-consumers", daemon=True)
        bus.serving.end_listeners.append(self._ended_elsewhere)

    def start(self) -> None:
        """Begin to look after those who go."""
        start_thread(self._thread)

    def close(self) -> None:
        """Send every consumer away; what they hold is given back, and waits in the log."""
        with self._changed:
            if self._is_closed:
                return
            self._is_closed = True
            # Not by way of the loop, which a handler may block.
            for seat in self._seats:
                seat.outlet.end(RESTART, "service restart")
            for group in self._groups.values():
                call_soon(self._bus.dispatcher.loop, _give_back_all, group)
            self._changed.notify_all()
        if self._thread.is_alive():
            self._thread.join(_AGAIN_S)

    # -- for the connections -----------------------------------------------------------------

    def check(self, terms: Terms) -> None:
        """Raise SubscriptionError when no consumer may come with these terms now."""
        with self._changed:
            group = self._groups.get(terms.name)
            if group is None:
                if terms.name in self._bus.served():
                    raise SubscriptionError(
                        f"the subscription {terms.name!r} is served by the process of the bus "
                        "itself; give the remote one another name"
                    )
            elif self._is_kept(group) and (difference := terms.difference(group.terms)):
                raise SubscriptionError(
                    f"the subscription {terms.name!r} has consumers with other terms than "
                    f"{difference}; let them go first, or give this one another name"
                )

    def join(self, terms: Terms, consumer_id: str, prefetch: int, outlet: Outlet) -> Seat:
        """Let a consumer serve the subscription; blocks for a commit when it is the first.

        The same ``consumer_id`` again is the same consumer, come back. Raises SubscriptionError,
        BusClosedError, LogError.
        """
        with self._changed:
            if self._is_closed:
                raise BusClosedError("the server is stopping")
            self.check(terms)
            group = self._groups.get(terms.name)
            if group is not None and (not group.consumers or terms.difference(group.terms)):
                self._dissolve(group)
                group = None
            if group is None:
                group = ConsumerGroup(self._bus, terms)
                self._bus.subscribe(
                    terms.pattern, group, name=terms.name, max_attempts=terms.max_attempts,
                    timeout=terms.timeout_s, concurrency=1,
                )  # fmt: skip
                self._groups[terms.name] = group
            consumer = group.consumers.get(consumer_id) or Consumer(consumer_id, prefetch)
            seat = Seat(group, consumer, outlet)
            self._lost = {s: t for s, t in self._lost.items() if s.consumer is not consumer}
            before = self._on_loop(_sit_down, seat)
            self._seats.add(seat)
        if before is not None:
            before.end(CONFLICT, "replaced by a newer connection of the same consumer")
        return seat

    def take(self, seat: Seat, message: Answer | Leave) -> None:
        """A consumer says something; returns at once."""
        call_soon(self._bus.dispatcher.loop, _hear, seat, message)

    def part(self, seat: Seat, is_orderly: bool) -> None:
        """A connection has ended; returns at once.

        After an orderly end what the consumer held is given back. After any other it has the
        grace period to come back; then its deliveries have failed, as it may be they that killed
        it.
        """
        with self._changed:
            self._seats.discard(seat)
            if not self._is_closed:
                self._parted.append((seat, is_orderly))
                self._changed.notify_all()

    # -- for people --------------------------------------------------------------------------

    def counts(self) -> dict[str, int]:
        """How many consumers serve each subscription now, by name."""
        with self._changed:
            counts = dict.fromkeys(self._groups, 0)
            for seat in self._seats:
                counts[seat.group.terms.name] = counts.get(seat.group.terms.name, 0) + 1
            return counts

    def forget(self, name: str, by: str, *, is_forced: bool = False) -> Receipt:
        """End a durable subscription for good.

        One that consumers or another process of the log serve is ended only when that
        ``is_forced``; its consumers are sent away then. Recorded as ``subscription.ended``, with
        who it was. Blocks for the commits. Raises SubscriptionError for one that is not known, or
        served; LogReadError.
        """
        with self._changed:
            group = self._groups.get(name)
            if group is None and name in self._bus.served():
                raise SubscriptionError(
                    f"the subscription {name!r} is served by the process of the bus itself"
                )
            if not is_forced and (group is not None or self._bus.serving.elsewhere([name])):
                by_whom = "another process of the bus" if group is None else "its consumers"
                raise SubscriptionError(
                    f"the subscription {name!r} is served by {by_whom} now: stop what serves it "
                    "first, or force its end"
                )
            self._bus.unsubscribe(name)
            if group is not None:
                self._send_away(group)
        data = {"name": name, **signed(by)}
        return self._bus.publish("subscription.ended", data, subject=name)

    def _ended_elsewhere(self, name: str) -> None:
        """Another process has ended it; not to be waited for by who follows the log."""
        if name in self._groups:
            start_thread(threading.Thread(
                target=self._end, args=(name,), name="eventbus-consumers-end", daemon=True
            ))  # fmt: skip

    def _end(self, name: str) -> None:
        with self._changed:
            group = self._groups.get(name)
            if group is not None and not self._is_closed and name not in self._bus.served():
                with suppress(BusClosedError):  # the loop is blocked; they are told
                    self._send_away(group)

    def _send_away(self, group: ConsumerGroup) -> None:
        """Its subscription is there no more."""
        del self._groups[group.terms.name]
        self._lost = {s: t for s, t in self._lost.items() if s.group is not group}
        for seat in self._seats:
            if seat.group is group:
                seat.outlet.end(GONE, "the subscription was ended")
        self._on_loop(_give_back_all, group)

    # -- the thread --------------------------------------------------------------------------

    def _run(self) -> None:
        with self._changed:
            while not self._is_closed:
                wait_s = self._look_after()
                if not self._parted and not self._is_closed:
                    self._changed.wait(wait_s)

    def _look_after(self) -> float | None:
        """Deal with who has gone; returns in how many seconds to look again."""
        try:
            while self._parted:
                self._see_off(*self._parted[0])
                self._parted.popleft()
            now = time.monotonic()
            for seat in [seat for seat, until in self._lost.items() if until <= now]:
                error = ConsumerLostError(
                    f"the consumer lost its connection while it handled this event, and did not "
                    f"come back within {self._grace_s:g} s"
                )
                self._remove(seat, error)
                self._lost.pop(seat, None)
            for group in [group for group in self._groups.values() if not group.consumers]:
                self._dissolve(group)
        except Exception:  # the loop is blocked, the log cannot be written: not for ever
            logger.exception("looking after consumers that have gone failed; trying again")
            self._changed.wait(_AGAIN_S)
            return 0.0
        return min(self._lost.values()) - now if self._lost else None

    def _see_off(self, seat: Seat, is_orderly: bool) -> None:
        if not self._on_loop(_stand_up, seat):
            return  # it is back already
        if is_orderly:
            self._remove(seat, DeliveryReturnedError("the consumer has left"))
        else:
            self._lost[seat] = time.monotonic() + self._grace_s

    def _remove(self, seat: Seat, error: Exception) -> None:
        self._on_loop(_leave, seat, error)

    def _dissolve(self, group: ConsumerGroup) -> None:
        """Nobody is left who could come back."""
        error = ConsumerLostError("the consumer lost its connection, and others took its place")
        for seat in [seat for seat in self._lost if seat.group is group]:
            self._remove(seat, error)
            self._lost.pop(seat, None)
        self._bus.detach(group.terms.name, _DETACH_S)
        self._groups.pop(group.terms.name, None)

    def _is_kept(self, group: ConsumerGroup) -> bool:
        """Whether somebody is connected, so that its terms stand."""
        return any(seat.group is group for seat in self._seats)

    def _on_loop(self, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        async def call() -> T:
            return function(*args, **kwargs)

        future = asyncio.run_coroutine_threadsafe(call(), self._bus.dispatcher.loop)
        try:
            return future.result(_LOOP_PATIENCE_S)
        except FutureTimeoutError:
            future.cancel()
            raise BusClosedError("a handler blocks the bus") from None


# -- on the loop -----------------------------------------------------------------------------


def _sit_down(seat: Seat) -> Outlet | None:
    seat.group.consumers[seat.consumer.id] = seat.consumer
    before = seat.consumer.connect(seat.outlet, seat.group.terms.name)
    seat.group.fit()
    return before


def _hear(seat: Seat, message: Answer | Leave) -> None:
    if seat.consumer.outlet is not seat.outlet:
        return  # said on a connection that was replaced; it will be said again on the new one
    if isinstance(message, Answer):
        seat.group.take(seat.consumer, message)
    else:
        seat.consumer.is_leaving = True
        seat.group.fit()


def _stand_up(seat: Seat) -> bool:
    """Whether the consumer has no connection any more."""
    if seat.consumer.outlet is not seat.outlet:
        return False
    seat.consumer.outlet = None
    seat.group.fit()
    return True


def _leave(seat: Seat, error: Exception) -> None:
    if seat.consumer.outlet is None:
        seat.group.consumers.pop(seat.consumer.id, None)
        seat.consumer.drop_all(error)
        seat.group.fit()


def _give_back_all(group: ConsumerGroup) -> None:
    for consumer in group.consumers.values():
        consumer.outlet = None
        consumer.drop_all(DeliveryReturnedError("the consumer was sent away"))
    group.consumers.clear()
    group.fit()
