"""The receipt of an event that is sent over the network: to be awaited, waited for, or left."""

from __future__ import annotations

import threading
from collections.abc import Callable, Generator

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


_ENVELOPE_SIZE = 400
