"""What was committed, in order of sequence: to those who listen in this process."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable

from eventbus.errors import EventBusError
from eventbus.event import Event
from eventbus.log.known_types import KnownTypes
from eventbus.log.writer import Deliveries

logger = logging.getLogger("eventbus.log")

Listener = Callable[[list[Event]], None]
Missing = Callable[[int, int], Deliveries]
"""Reads what was recorded after a sequence and up to another, by whichever process."""

# What others have committed in between is read by who commits, up to here; more is left to the
# follower, so that no publisher waits for it.
_MOST_BETWEEN = 500


class Feed:
    """Fed by who commits and, when other processes write as well, by the follower; under ``lock``.

    Where others write, a commit of our own may come before theirs of smaller sequences have been
    seen. Then these are read first.
    """

    def __init__(self, last_sequence: int, types: KnownTypes) -> None:
        self.lock = threading.RLock()
        self.last_sequence = last_sequence
        """The newest sequence that everybody here has been given."""
        self.missing: Missing | None = None
        """Set when other processes write, too."""
        self.lagging: Callable[[], None] = lambda: None
        """Called when something was left to the follower."""
        self._types = types
        self._listeners: list[Listener] = []

    def add(self, listener: Listener) -> None:
        """Have ``listener`` called with the events of each commit; it must only hand over."""
        self._listeners = [*self._listeners, listener]

    def remove(self, listener: Listener) -> None:
        self._listeners = [known for known in self._listeners if known != listener]

    def put(self, recorded: Deliveries, *, is_next: bool = False) -> Deliveries:
        """Give a commit's events to the listeners; with the lock held.

        ``is_next``: all that is there before them was given. Returns what is to be delivered here
        now: these and those of others before them, or nothing when the follower will bring them.
        """
        if not recorded:
            return recorded
        first = recorded[0][0].sequence or 0
        if first <= self.last_sequence:  # the follower was quicker
            recorded = [each for each in recorded if (each[0].sequence or 0) > self.last_sequence]
            if not recorded:
                return recorded
        elif self.missing is not None and first > self.last_sequence + 1 and not is_next:
            before = self._before(first)
            if before is None:
                self.lagging()
                return []
            recorded = [*before, *recorded]
        self._types.add(event.type for event, _ in recorded)
        self.last_sequence = recorded[-1][0].sequence or 0
        events = [event for event, _ in recorded]
        for listener in self._listeners:
            try:
                listener(events)
            except Exception:
                logger.exception("a listener failed for events up to %s", self.last_sequence)
        return recorded

    def _before(self, first: int) -> Deliveries | None:
        """All between what was given last and ``first``; None when that is not to be had now."""
        assert self.missing is not None, "others write"
        if first - 1 - self.last_sequence > _MOST_BETWEEN:
            return None
        try:
            before = self.missing(self.last_sequence, first - 1)
        except EventBusError:
            return None
        return before if before and before[-1][0].sequence == first - 1 else None
