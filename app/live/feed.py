"""What was recorded and is not shown yet: filled by the log's listener, emptied by the hub."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from eventbus import Event

if TYPE_CHECKING:
    from eventbus.log import EventLog

_MOST_EVENTS = 10_000
_MOST_CHARS = 16 * 1024 * 1024
_PAGE = 256  # events a reading; the largest ones (256 KiB) then take 64 MiB


@dataclass(frozen=True, slots=True)
class Batch:
    """The events that bring the hub to ``position``, ascending, without a hole before them."""

    events: list[Event]
    position: int


class Feed:
    """A bounded list of new events with the log behind it.

    ``listen`` runs on committing threads and only hands over. What the list has no room for is
    dropped from it and read from the log again, page by page, so nothing is ever missing.
    ``take`` and ``position`` belong to the hub's thread.
    """

    def __init__(self, log: EventLog, on_news: Callable[[], None]) -> None:
        self._log = log
        self._on_news = on_news
        self._lock = threading.Lock()  # guards the three below
        self._pending: list[Event] = []
        self._pending_chars = 0
        self._head = 0
        self.position = 0

    def open(self) -> None:
        """Start here: everything that is in the log already counts as shown."""
        self._log.add_listener(self.listen)
        self.position = self._log.last_sequence
        with self._lock:
            self._head = max(self._head, self.position)

    def close(self) -> None:
        """Hear no more."""
        self._log.remove_listener(self.listen)

    def listen(self, events: list[Event]) -> None:
        """Take over what a commit recorded, in sequence order."""
        if not events:
            return
        chars = sum(len(event.data_json) for event in events)
        with self._lock:
            if (
                len(self._pending) + len(events) > _MOST_EVENTS
                or self._pending_chars + chars > _MOST_CHARS
            ):
                self._pending.clear()
                self._pending_chars = 0
            else:
                self._pending += events
                self._pending_chars += chars
            self._head = max(self._head, events[-1].sequence or 0)
        self._on_news()

    def take(self) -> Batch | None:
        """What comes next, None when there is nothing new; a long gap comes in pages."""
        with self._lock:
            events, self._pending, self._pending_chars = self._pending, [], 0
            head = self._head
        if head <= self.position:
            return None
        if events and (events[0].sequence or 0) <= self.position:
            events = [event for event in events if (event.sequence or 0) > self.position]
        if _continues(self.position, events):
            batch = Batch(events, events[-1].sequence or 0)
        else:
            chunk = self._log.read(self.position, limit=_PAGE, upto=head)
            batch = Batch(chunk.events, chunk.position)
        self.position = batch.position
        return batch


def _continues(position: int, events: list[Event]) -> bool:
    """Whether ``events`` (ascending) are all that follows ``position``, without a gap."""
    if not events:
        return False
    first, last = events[0].sequence or 0, events[-1].sequence or 0
    return first == position + 1 and last - first == len(events) - 1
