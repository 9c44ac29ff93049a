"""The receipt of an event that is sent over the network: to be awaited, waited for, or left."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Generator, Sequence

from eventbus.errors import EventBusError, ReceiptTimeoutError
from eventbus.event import Event


class RemoteReceipt:
    """What becomes of one published event.

    ``await receipt`` (on any loop) and ``receipt.wait(timeout)`` (in any plain thread) give the
    event with its sequence once the bus has recorded it. They raise EventRefusedError when the
    bus refused it and EventDroppedError when it was given up unsent. Nobody needs to wait: the
    event is sent all the same.
    """

    __slots__ = ("_changed", "_outcome", "_wakers", "event", "number", "size")

    def __init__(self, event: Event, number: int, changed: threading.Condition) -> None:
        self.event = event  # with its sequence once it is recorded
        self.number = number  # its place among all events that the client has published, from 1
        self.size = len(event.data_json) + _ENVELOPE_SIZE  # roughly, in bytes
        self._changed = changed  # guards the outcome; notified by whoever settles
        self._outcome: Event | EventBusError | None = None
        self._wakers: list[Callable[[], None]] = []

    @property
    def is_recorded(self) -> bool:
        """Whether the bus has confirmed that the event is durable."""
        return isinstance(self._outcome, Event)

    def wait(self, timeout: float | None = None) -> Event:
        """Block until the event is recorded. Raises ReceiptTimeoutError after ``timeout`` s."""
        with self._changed:
            if not self._changed.wait_for(lambda: self._outcome is not None, timeout):
                raise ReceiptTimeoutError(f"event {self.event.id} is not confirmed yet")
        return self._result()

    def __await__(self) -> Generator[object, None, Event]:
        import asyncio  # only where it is already running: plain threads need not load it

        loop = asyncio.get_running_loop()
        future: asyncio.Future[None] = loop.create_future()

        def done() -> None:
            if not future.done():
                future.set_result(None)

        def wake() -> None:
            loop.call_soon_threadsafe(done)

        with self._changed:
            if self._outcome is None:
                self._wakers.append(wake)
            else:
                future.set_result(None)
        yield from future
        return self._result()

    def settle(self, outcome: Event | EventBusError) -> None:
        """For the outbox, which holds the lock and notifies: what has become of the event."""
        self._outcome = outcome
        if isinstance(outcome, Event):
            self.event = outcome
        wakers, self._wakers = self._wakers, []
        for wake in wakers:
            try:
                wake()
            except RuntimeError:
                continue  # that loop is closed, so nobody waits there any more

    def _result(self) -> Event:
        outcome = self._outcome
        assert outcome is not None, "only asked for after it was settled"
        if isinstance(outcome, Event):
            return outcome
        raise outcome


class RemoteBatchReceipt:
    """The receipts of events that were published together, as one; see RemoteReceipt."""

    def __init__(self, receipts: Sequence[RemoteReceipt]) -> None:
        self.receipts = tuple(receipts)

    @property
    def events(self) -> list[Event]:
        """The events, with their sequences once they are recorded."""
        return [receipt.event for receipt in self.receipts]

    @property
    def is_recorded(self) -> bool:
        """Whether the bus has confirmed that all of them are durable."""
        return all(receipt.is_recorded for receipt in self.receipts)

    def wait(self, timeout: float | None = None) -> list[Event]:
        """Block until all are recorded. Raises ReceiptTimeoutError after ``timeout`` s."""
        deadline = None if timeout is None else time.monotonic() + timeout
        return [
            receipt.wait(None if deadline is None else max(0.0, deadline - time.monotonic()))
            for receipt in self.receipts
        ]

    def __await__(self) -> Generator[object, None, list[Event]]:
        events = []
        for receipt in self.receipts:
            events.append((yield from receipt.__await__()))
        return events


_ENVELOPE_SIZE = 400
