"""What commits cost: how long they took, how much each recorded, how many failed."""

from __future__ import annotations

import time

from eventbus.buckets import DURATIONS_US, SIZES, Buckets


class CommitMeasures:
    """Written under the commit lock, read by any thread; counts since the log was opened."""

    def __init__(self) -> None:
        self.took_us = Buckets(DURATIONS_US)
        self.events = Buckets(SIZES)
        self.failed = 0
        """Commits that the storage refused."""
        self.last_us = 0
        """How long the newest commit took."""
        self._began = 0.0

    def begin(self) -> None:
        """A commit begins."""
        self._began = time.perf_counter()

    def ended(self, event_count: int) -> None:
        """It is made, and nobody has been told yet."""
        now = time.perf_counter()
        self.last_us = took_us = int((now - self._began) * 1e6)
        self.took_us.count(took_us)
        self.events.count(event_count)
        self._began = now  # a batch that is committed by halves goes on from here
