"""The scheduler: takes what is to be published later, records it when it is due, or cancels it."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Generator, Sequence
from typing import Any

from eventbus.actor import check_actor, signed
from eventbus.clock import Clock
from eventbus.dispatcher import Dispatcher
from eventbus.due import DueQueue
from eventbus.effects import Effects
from eventbus.errors import BusClosedError
from eventbus.event import Event
from eventbus.log.commit import call_soon
from eventbus.log.eventlog import EventLog
from eventbus.log.head import MISSED
from eventbus.log.schedules import DUE, Request, Taking
from eventbus.log.unit import Unit
from eventbus.receipt import BatchReceipt, already
from eventbus.scheduled import ScheduledEvent
from eventbus.timestamps import format_time, from_microseconds

logger = logging.getLogger("eventbus.scheduler")

CANCELLED_TYPE = "bus.schedule.cancelled"
_STORAGE_RETRY_S = 1.0


class Scheduler:
    """Lives on the bus's loop; ``arrange``, ``cancel`` and ``expect`` by others, too.

    What is scheduled is in the log's database alone. In memory there is one number, when the next
    of it is due, and one entry in the due queue, which looks at the wall clock again after a
    minute at the latest, as that clock may have been set.
    """

    def __init__(
        self, log: EventLog, loop: asyncio.AbstractEventLoop, clock: Clock, due: DueQueue
    ) -> None:
        self._log = log
        self._loop = loop
        self._clock = clock
        self._due = due
        self._next_us: int | None = log.schedules.first_due_us  # nothing earlier is scheduled
        self._entry = 0  # the one in the due queue that counts
        self._recording: asyncio.Task[None] | None = None
        self._is_closed = False
        log.schedules.on_add = self.expect
        log.change_listeners.append(self._changed)

    # -- from any thread ---------------------------------------------------------------------

    def arrange(
        self, events: Sequence[Event], effects: Effects | None
    ) -> tuple[Unit, list[int | Request]]:
        """Events of which some are to be recorded later, as a unit of work.

        In a handler they are put into its ``effects`` and the unit is done. The list tells in the
        order of ``events`` where in the unit, or as which request, each is.
        """
        now_us = self._clock.time_ns() // 1_000
        order: list[int | Request] = []
        recorded: list[Event] = []
        requests: list[Request] = []
        for event in events:
            due_us = event.due_us(now_us) if isinstance(event, ScheduledEvent) else now_us
            if due_us <= now_us or not isinstance(event, ScheduledEvent):
                plain = event.plain() if isinstance(event, ScheduledEvent) else event
                order.append(len(recorded))
                recorded.append(plain if effects is None else effects.add(plain))
                continue
            changes = {} if event.is_timed else {"time": from_microseconds(due_us)}
            plain = event.plain(**changes)
            if effects is not None:
                plain = effects.adopt_later(plain)
            request = Request(plain, due_us)
            order.append(request)
            requests.append(request)
        add = self._log.schedules.add
        if effects is None:
            return Unit(recorded, effects=[(add, request) for request in requests]), order
        for request in requests:
            effects.change(add, request)
        return already(*recorded), order

    def cancel(
        self, id: str, source: str | None, by: str | None, effects: Effects | None, own: str
    ) -> tuple[Unit, list[Event] | None]:
        """The unit that takes schedules away and records that as events of the source ``own``.

        In a handler it is done, the cancelling being effects, and what is cancelled is known.
        """
        if by is not None:
            check_actor(by)
        if effects is None:
            return self._log.schedules.removing(
                id, source, lambda event: Event.create(source=own, **self._told(event, by))
            ), None
        effects.check_open()
        add = self._log.schedules.add
        # What it has scheduled itself is just not scheduled then.
        unscheduled = [
            (apply, request) for apply, request in effects.changes
            if apply == add and request.wanted.id == id
            and source in (None, request.wanted.source)
        ]  # fmt: skip
        for change in unscheduled:
            effects.changes.remove(change)
        # One look into an index, of microseconds: the answer cannot wait for the commit, and the
        # commit checks that it was right.
        drop = self._log.schedules.drop
        taken = {key for apply, key in effects.changes if apply == drop}
        found = [
            event for event in self._log.schedules.find(id, source)
            if (event.source, event.id) not in taken
        ]  # fmt: skip
        for event in found:
            effects.change(drop, (event.source, event.id))
            # Of its own, whatever the handler publishes beside it: a remote one, which numbers its
            # events itself, does not know of this one.
            effects.publish(**self._told(event, by), id=effects.cancelled_id(event))
        return already(), [*(request.event for _, request in unscheduled), *found]

    def expect(self, due_us: int) -> None:
        """Something due at ``due_us`` is being scheduled; called inside its commit."""
        call_soon(self._loop, self._expect, due_us)

    def _changed(self, topics: set[str]) -> None:
        if MISSED in topics:
            self.expect(self._clock.time_ns() // 1_000)
        for topic in topics:
            if topic.startswith(DUE):
                self.expect(int(topic.removeprefix(DUE)))

    def _told(self, event: ScheduledEvent, by: str | None) -> dict[str, Any]:
        assert event.at is not None, "what is scheduled is due at a time"
        data = {
            "id": event.id, "source": event.source, "type": event.type,
            "at": format_time(event.at), **({} if by is None else signed(by)),
        }  # fmt: skip
        return {
            "type": CANCELLED_TYPE, "data": data, "subject": event.subject,
            "time": from_microseconds(self._clock.time_ns() // 1_000),
            "correlationid": event.correlationid, "causationid": event.causationid,
        }  # fmt: skip

    # -- on the loop -------------------------------------------------------------------------

    def start(self) -> None:
        """Record what has become due while there was no bus, and wait for the rest."""
        if self._log.channel:  # somebody may have scheduled something since the log was opened
            self._expect(self._clock.time_ns() // 1_000)
        self._wait()

    def close(self) -> None:
        """Record nothing more; what is due stays scheduled."""
        self._is_closed = True

    async def settle(self, dispatcher: Dispatcher) -> None:
        """Return when nothing is left to do but to wait for retries and due times."""
        while True:  # what was due wakes handlers, and they may schedule more
            await dispatcher.wait_idle()
            if self._recording is None:
                return
            await asyncio.wait([self._recording])

    def _expect(self, due_us: int) -> None:
        if self._next_us is None or due_us < self._next_us:
            self._next_us = due_us
            self._wait()

    def _wait(self) -> None:
        if self._is_closed or self._recording is not None or self._next_us is None:
            return
        if self._next_us * 1_000 <= self._clock.time_ns():
            self._recording = self._loop.create_task(self._record_due())
            return
        self._entry += 1
        self._due.add(self._next_us, self._clock.longest_wait_s, self._look, self._entry)

    def _look(self, entry: int) -> None:
        if entry == self._entry:  # not one that an earlier due time has made useless
            self._wait()

    async def _record_due(self) -> None:
        try:
            while not self._is_closed:
                now_us = self._clock.time_ns() // 1_000
                if self._next_us is None or self._next_us > now_us:
                    break
                self._next_us = None  # from here on ``expect`` tells of what comes meanwhile
                try:
                    next_us = await self._take(now_us)
                except BusClosedError:
                    break
                except Exception as error:  # most likely the storage's; nothing may be forgotten
                    logger.error("what is due could not be recorded: %s", error)
                    self._next_us = now_us
                    await asyncio.sleep(_STORAGE_RETRY_S)
                    continue
                if next_us is not None:
                    self._next_us = min(next_us, self._next_us or next_us)
        finally:
            self._recording = None
            self._wait()

    async def _take(self, now_us: int) -> int | None:
        """Record a commit's worth of what is due; returns when the next one is."""
        taking = Taking(now_us)
        committed: asyncio.Future[None] = self._loop.create_future()
        taking.waiters.append((self._loop, committed))
        self._log.submit(taking)
        await committed
        if taking.error is not None:
            raise taking.error
        return taking.next_due_us


class Cancellation:
    """What ``cancel`` returns: whether there was anything to cancel.

    True or false at once when it was called in a plain thread or a handler; on an event loop
    ``await`` it first.
    """

    def __init__(self, receipt: BatchReceipt, events: Sequence[Event] | None = None) -> None:
        """``events`` are those that a handler has cancelled."""
        self._receipt = receipt
        self._events = events

    def wait(self, timeout: float | None = None) -> bool:
        """Block until that is durable. Raises ReceiptTimeoutError after ``timeout`` seconds."""
        self._receipt.wait(timeout)
        return bool(self)

    def __await__(self) -> Generator[object, None, bool]:
        yield from self._receipt.__await__()
        return bool(self)

    def __bool__(self) -> bool:
        if self._events is not None:
            return bool(self._events)
        if not self._receipt.is_recorded:
            raise RuntimeError("not known yet: await the cancellation, or call its wait()")
        return bool(self._receipt.events)
