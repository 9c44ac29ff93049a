"""What tests of a bus are made of: a fast retry policy, a handler that records, files for it."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

from eventbus import Event, EventBus, RetryPolicy

FAST = RetryPolicy(max_attempts=3, timeout_s=10.0, base_delay_s=0.01, max_delay_s=0.02)
LONG_S = 20.0
"""A limit that only a hanging test reaches."""


class Recorder:
    """A handler that keeps the events it gets; ``then`` runs for each and may raise."""

    def __init__(self, then: Callable[[Event], Any] | None = None) -> None:
        self.events: list[Event] = []
        self._then = then
        self._changed = threading.Condition()

    def __call__(self, event: Event) -> Any:
        with self._changed:
            self.events.append(event)
            self._changed.notify_all()
        return None if self._then is None else self._then(event)

    def wait_for(self, count: int, timeout_s: float = LONG_S) -> list[Event]:
        """The events, once there are ``count``. Raises AssertionError when they do not come."""
        with self._changed:
            is_there = self._changed.wait_for(lambda: len(self.events) >= count, timeout_s)
            assert is_there, f"got {len(self.events)} events, not {count}: {self.events}"
            return list(self.events)

    def values(self, key: str) -> list[Any]:
        """What the events that have come so far have under ``key``."""
        with self._changed:
            return [event.get(key) for event in self.events]


class Failing:
    """A handler that fails until it is told not to; it counts how often it was called."""

    def __init__(self, times: int = 1_000_000) -> None:
        self.calls = 0
        self.left = times

    def __call__(self, event: Event) -> None:
        self.calls += 1
        if self.left > 0:
            self.left -= 1
            raise RuntimeError(f"failure {self.calls}")


def open_bus(url: str, **options: Any) -> EventBus:
    """A bus that retries within milliseconds."""
    return EventBus.open(url, **{"retry": FAST, **options})


def recorded(bus: EventBus) -> list[str]:
    """The types that are in the log, in its order."""
    return [event.type for event in bus.log.read(0).events]
