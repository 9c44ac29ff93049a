"""Who waits for the deliveries of which event, so that a finished delivery wakes just them."""

from __future__ import annotations

import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager


class Watch:
    """Any thread may watch a sequence; the dispatcher notifies."""

    def __init__(self) -> None:
        self._lock = threading.Lock()  # guards changes; notify reads without it when it is empty
        self._watched: dict[int, list[threading.Event]] = {}

    @contextmanager
    def on(self, sequence: int) -> Iterator[threading.Event]:
        """An event that is set whenever a delivery of ``sequence`` changes its state."""
        changed = threading.Event()
        with self._lock:
            self._watched.setdefault(sequence, []).append(changed)
        try:
            yield changed
        finally:
            with self._lock:
                remaining = [e for e in self._watched[sequence] if e is not changed]
                if remaining:
                    self._watched[sequence] = remaining
                else:
                    del self._watched[sequence]

    def notify_all(self) -> None:
        """A subscription has gone, and with it deliveries of any event."""
        with self._lock:
            for watching in self._watched.values():
                for changed in watching:
                    changed.set()

    @property
    def is_watched(self) -> bool:
        """Whether anybody waits for anything."""
        return bool(self._watched)

    def notify_many(self, sequences: Iterable[int]) -> None:
        """Deliveries of these events have changed their state."""
        if self._watched:
            for sequence in sequences:
                self.notify(sequence)

    def notify(self, sequence: int) -> None:
        """A delivery of this event has changed its state."""
        if self._watched:
            with self._lock:
                watching = list(self._watched.get(sequence, ()))
            for changed in watching:
                changed.set()
