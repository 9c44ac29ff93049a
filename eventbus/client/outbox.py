"""The events that wait to be sent: bounded in number and bytes, and exactly counted."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass

from eventbus.client.receipt import RemoteReceipt
from eventbus.errors import EventDroppedError, EventRefusedError
from eventbus.event import Event


@dataclass(frozen=True, slots=True)
class ClientStats:
    """What has become of all events so far: published = sent + dropped + refused + pending."""

    published: int
    sent: int
    dropped: int
    refused: int
    pending: int


class Outbox:
    """A queue that drops its oldest event when it is full.

    The oldest, because what is left then still ends in the present: a late screen that shows
    today's state serves better than one that shows yesterday's. Events that are being sent are
    not dropped: they may be recorded already.

    All methods may be called from any thread; ``changed`` guards everything here, and is
    notified when events are settled or ready to be sent.
    """

    def __init__(self, max_pending: int, max_pending_bytes: int, batch_size: int) -> None:
        self.changed = threading.Condition()
        self.waiting_since = 0.0  # monotonic, of the first event that waits
        self._max_pending = max_pending
        self._max_bytes = max_pending_bytes
        self._batch_size = batch_size
        self._waiting: deque[RemoteReceipt] = deque()
        self._taken: dict[int, RemoteReceipt] = {}
        self._bytes = 0
        self._published = 0
        self._sent = 0
        self._dropped = 0
        self._refused = 0

    @property
    def stats(self) -> ClientStats:
        with self.changed:
            pending = len(self._waiting) + len(self._taken)
            return ClientStats(self._published, self._sent, self._dropped, self._refused, pending)

    @property
    def waiting_count(self) -> int:
        return len(self._waiting)

    @property
    def first_waiting(self) -> int:
        """The number of the next event to send; that of the next to come when none waits."""
        return self._waiting[0].number if self._waiting else self._published + 1

    def add(self, event: Event) -> RemoteReceipt:
        """Queue an event, dropping the oldest ones if there is no room."""
        with self.changed:
            self._published += 1
            receipt = RemoteReceipt(event, self._published, self.changed)
            if not self._waiting:
                self.waiting_since = time.monotonic()
            self._waiting.append(receipt)
            self._bytes += receipt.size
            is_over = self._is_over()
            while is_over and self._waiting:
                self._drop(self._pop(), "no room to keep it until the bus is back")
                is_over = self._is_over()
            if len(self._waiting) in (1, self._batch_size):
                self.changed.notify_all()
            return receipt

    def take(self, max_bytes: int) -> list[RemoteReceipt]:
        """The next batch, oldest first; it stays pending until each of it is settled."""
        with self.changed:
            batch: list[RemoteReceipt] = []
            size = 0
            while self._waiting and len(batch) < self._batch_size:
                size += self._waiting[0].size
                if batch and size > max_bytes:
                    break
                receipt = self._pop()
                self._bytes += receipt.size  # it still takes its room
                self._taken[receipt.number] = receipt
                batch.append(receipt)
            self.waiting_since = time.monotonic()
            return batch

    def settle_sent(self, recorded: Iterable[tuple[RemoteReceipt, Event]]) -> None:
        """The bus has recorded these."""
        with self.changed:
            for receipt, event in recorded:
                if self._give_back(receipt):
                    self._sent += 1
                    receipt.settle(event)
            self.changed.notify_all()

    def settle_refused(self, receipt: RemoteReceipt, reason: str) -> None:
        """The bus will never take this one."""
        with self.changed:
            if self._give_back(receipt):
                self._refused += 1
                receipt.settle(EventRefusedError(f"event {receipt.event.id}: {reason}"))
            self.changed.notify_all()

    def drop_all(self, reason: str) -> int:
        """Give up everything that is pending; gives how many that were."""
        with self.changed:
            count = self.drop_taken(reason)
            while self._waiting:
                self._drop(self._pop(), reason)
                count += 1
            self.changed.notify_all()
            return count

    def drop_taken(self, reason: str) -> int:
        """Give up what is being sent; gives how many events that were."""
        with self.changed:
            given_up = list(self._taken.values())
            for receipt in given_up:
                self._give_back(receipt)
                self._drop(receipt, reason)
            self.changed.notify_all()
            return len(given_up)

    def is_settled_through(self, number: int) -> bool:
        """Whether of the first ``number`` events none is pending."""
        # Taken ones are older than waiting ones, and both are in order.
        return min(next(iter(self._taken), number + 1), self.first_waiting) > number

    def _is_over(self) -> bool:
        count = len(self._waiting) + len(self._taken)
        return count > self._max_pending or self._bytes > self._max_bytes

    def _pop(self) -> RemoteReceipt:
        receipt = self._waiting.popleft()
        self._bytes -= receipt.size
        return receipt

    def _give_back(self, receipt: RemoteReceipt) -> bool:
        """Whether it was pending until now; one that was given up meanwhile stays dropped."""
        if self._taken.pop(receipt.number, None) is None:
            return False
        self._bytes -= receipt.size
        return True

    def _drop(self, receipt: RemoteReceipt, reason: str) -> None:
        self._dropped += 1
        receipt.settle(EventDroppedError(f"event {receipt.event.id} was dropped: {reason}"))
