"""Receipts: what ``publish`` returns, to be awaited, waited for, or left alone."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Generator, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Literal, get_args

from eventbus.errors import BusClosedError, EffectError, ReceiptTimeoutError
from eventbus.event import Event
from eventbus.log.schedules import Request
from eventbus.log.unit import Unit
from eventbus.log.values import Delivery
from eventbus.loop import refuse_on
from eventbus.scheduled import ScheduledEvent

if TYPE_CHECKING:
    from eventbus.bus import EventBus

Until = Literal["settled", "attempted"]

SETTLED = frozenset({"succeeded", "dead", "discarded", "cancelled"})
"""The states of a delivery to which nothing more happens unless a person asks for it."""

_POLL_S = 0.05
_MOST_NAMED = 3


class BatchReceipt:
    """The receipt of events that are recorded together.

    ``await receipt`` (on any loop) and ``receipt.wait(timeout_s)`` (in any plain thread) give the
    recorded events in the order of publishing and raise LogWriteError when nothing was recorded.
    For a scheduled event that is when its schedule is durable.
    Inside a handler they give the events as they will be recorded when the handler returns.
    """

    def __init__(
        self, bus: EventBus, unit: Unit, order: Sequence[int | Request] | None = None
    ) -> None:
        """``order`` tells where in the unit each event is, when some are only scheduled."""
        self._bus = bus
        self._unit = unit
        self._order = order

    @property
    def events(self) -> list[Event]:
        """The events, with their sequences once they are recorded.

        What is recorded later is a ScheduledEvent until then, which tells when: ``at``.
        """
        events = self._unit.events
        if self._order is None:
            return list(events)
        return [events[key] if isinstance(key, int) else key.event for key in self._order]

    @property
    def duplicates(self) -> list[bool]:
        """For each event whether it had been recorded before; known once it is durable."""
        known = self._unit.duplicates
        if self._order is None:
            return [index in known for index in range(len(self._unit.events))]
        return [key in known if isinstance(key, int) else key.is_duplicate for key in self._order]

    @property
    def is_recorded(self) -> bool:
        """Whether the events are durable."""
        return self._unit.is_done and self._unit.error is None

    def wait(self, timeout: float | None = None) -> list[Event]:
        """Block until the events are durable. Raises ReceiptTimeoutError after ``timeout`` s."""
        self._bus.log.wait(self._unit, timeout)
        return self.events

    def __await__(self) -> Generator[object, None, list[Event]]:
        unit = self._unit
        if not unit.is_done:
            loop = asyncio.get_running_loop()
            future: asyncio.Future[None] = loop.create_future()
            unit.waiters.append((loop, future))
            # The commit may have come in between: it looks at the waiters after is_done is set.
            if not unit.is_done:
                yield from future
        if unit.error is not None:
            raise unit.error
        return self.events

    def deliveries(
        self, timeout: float | None = None, *, until: Until = "settled"
    ) -> list[Delivery]:
        """Block until every durable subscription served here is done with the events.

        Done is succeeded, dead, discarded or cancelled, so this waits through all retries;
        ``until="attempted"`` waits for the first attempts alone, after which a delivery may be
        "retrying". Returns all durable deliveries. Must not be called on an event loop. Raises
        ReceiptTimeoutError after ``timeout`` seconds, which names whom it still waited for,
        BusClosedError when the bus is closed before, WaitingError in an async handler of the
        bus, ValueError for another ``until``.
        """
        if until not in get_args(Until):
            raise ValueError(f"until must be one of {get_args(Until)}, not {until!r}")
        deadline = None if timeout is None else time.monotonic() + timeout
        found: list[Delivery] = []
        for event in self.wait(timeout):
            if isinstance(event, ScheduledEvent):
                continue  # nobody has got it yet
            found += self._ended(event, deadline, until)
        return found

    def _ended(self, event: Event, deadline: float | None, until: Until) -> list[Delivery]:
        if event.sequence is None:
            raise EffectError(
                f"{event.type} is recorded when the handler returns, so the handler cannot wait "
                "for its deliveries"
            )
        with self._bus.watch(event.sequence) as changed:
            while True:
                changed.clear()
                if self._bus.has_stopped:
                    raise BusClosedError(f"the bus was closed before event {event.id} was handled")
                served = self._bus.served()  # before: what ends then is cancelled in what is read
                deliveries = self._bus.log.deliveries(event.sequence)
                missing = [d for d in open_ones(deliveries, until) if d.subscription in served]
                if not missing:
                    return deliveries
                refuse_on(self._bus.dispatcher.loop, "deliveries")
                left = None if deadline is None else deadline - time.monotonic()
                if left is not None and left <= 0:
                    raise ReceiptTimeoutError(
                        f"event {event.id} is recorded but not yet {until}: {_states(missing)}"
                    )
                if self._bus.log.channel:  # another process tells nobody here what it has handled
                    left = min(_POLL_S, left or _POLL_S)
                changed.wait(left)


class Receipt:
    """The receipt of one event: as BatchReceipt, for a single one."""

    def __init__(self, batch: BatchReceipt) -> None:
        self._batch = batch

    @property
    def event(self) -> Event:
        """The event, with its sequence once it is recorded."""
        return self._batch.events[0]

    @property
    def at(self) -> datetime | None:
        """When a scheduled event is due; None for one that is recorded now."""
        return getattr(self.event, "at", None)

    @property
    def duplicate(self) -> bool:
        """Whether an event with this source and id had been recorded before."""
        return self._batch.duplicates[0]

    @property
    def is_recorded(self) -> bool:
        """Whether the event is durable."""
        return self._batch.is_recorded

    def wait(self, timeout: float | None = None) -> Event:
        """Block until the event is durable. Raises ReceiptTimeoutError after ``timeout`` s."""
        return self._batch.wait(timeout)[0]

    def __await__(self) -> Generator[object, None, Event]:
        events = yield from self._batch.__await__()
        return events[0]

    def deliveries(
        self, timeout: float | None = None, *, until: Until = "settled"
    ) -> list[Delivery]:
        """Block until the event's durable deliveries are settled; see BatchReceipt."""
        return self._batch.deliveries(timeout, until=until)


def open_ones(deliveries: Sequence[Delivery], until: Until) -> list[Delivery]:
    """Those that are not settled yet, or that nobody has attempted yet."""
    if until == "attempted":
        return [d for d in deliveries if d.state not in SETTLED and not d.attempt]
    return [d for d in deliveries if d.state not in SETTLED]


def _states(deliveries: Sequence[Delivery]) -> str:
    named = [f"{each.subscription} is {each.state}" for each in deliveries[:_MOST_NAMED]]
    rest = len(deliveries) - len(named)
    return ", ".join(named) + (f" and {rest} more" if rest else "")


def already(*events: Event) -> Unit:
    """A unit that nobody has to wait for: its events are effects of the handler that runs."""
    unit = Unit(events)
    unit.is_done = True
    return unit
