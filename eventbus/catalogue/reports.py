"""Checking behind the log what is only reported, so that nobody who publishes waits for it."""

from __future__ import annotations

import logging
import threading
import time
from collections import deque
from collections.abc import Sequence
from typing import TYPE_CHECKING

from eventbus.catalogue.catalogue import Catalogue
from eventbus.event import Event
from eventbus.threads import start_thread

if TYPE_CHECKING:
    from eventbus.log import EventLog

logger = logging.getLogger("eventbus.catalogue")

MOST_WAITING = 20_000
MOST_CHARS = 16 * 1024 * 1024
"""What waits to be looked at; what comes on top is counted as not checked."""
_EVERY_S = 0.25
_SHARE = 0.1
_SLICE = 200
_JOIN_S = 1.0


class Reports:
    """Owns the thread "eventbus-schemas"; ``listen`` runs on committing threads, for one look-up.

    It takes a tenth of a processor at most, so that a flood of events is not slowed by it.
    """

    def __init__(self, log: EventLog, catalogue: Catalogue) -> None:
        self._log = log
        self._catalogue = catalogue
        self._waiting: deque[Event] = deque()
        self._chars = 0  # roughly: added under the commit lock, taken off by the thread
        self._closing = threading.Event()
        self._thread = threading.Thread(target=self._work, name="eventbus-schemas", daemon=True)

    def start(self) -> None:
        """Begin. Raises NoThreadError."""
        start_thread(self._thread)
        self._log.add_listener(self.listen)
        self._catalogue.is_watched = True

    def close(self) -> None:
        """Stop; what waits is not looked at any more."""
        self._log.remove_listener(self.listen)
        self._closing.set()
        if self._thread.is_alive():
            self._thread.join(_JOIN_S)

    def listen(self, events: Sequence[Event]) -> None:
        """Keep what is to be looked at of a commit."""
        for event in events:
            if self._catalogue.is_reported(event.type):
                if len(self._waiting) >= MOST_WAITING or self._chars > MOST_CHARS:
                    self._catalogue.tally.unchecked(event.type)
                    continue
                self._chars += len(event.data_json)
                self._waiting.append(event)

    def settle(self, timeout_s: float) -> bool:
        """Block until nothing waits; False when that takes longer."""
        until = time.monotonic() + timeout_s
        while self._waiting:
            if time.monotonic() > until:
                return False
            time.sleep(0.01)
        return True

    def _work(self) -> None:
        pause_s = _EVERY_S
        while not self._closing.wait(pause_s):
            began = time.monotonic()
            for _ in range(_SLICE):
                if not self._waiting:
                    self._chars = 0
                    break
                event = self._waiting[0]
                try:
                    self._catalogue.report(event)
                except Exception:
                    logger.exception("an event could not be held against its schema")
                self._chars -= len(event.data_json)
                self._waiting.popleft()
            worked_s = time.monotonic() - began
            pause_s = worked_s * (1 / _SHARE - 1) if self._waiting else _EVERY_S
