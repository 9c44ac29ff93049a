"""What is recorded, counted by type as it comes: totals, rates, and the last minutes in steps."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from eventbus import Event
from eventbus.log.known_types import MOST_KNOWN

if TYPE_CHECKING:
    from eventbus.log import EventLog

REST = "#"
"""Stands for all types beyond those that are told apart; no type can be called so."""
STEP_S = 5
STEPS = 60
"""Five minutes: as long as somebody looks back on a live page, and 60 points are a smooth line."""
_WINDOW_S = 9  # whole seconds, as many as the rate of the header is the mean of

Counts = dict[str, int]


@dataclass(frozen=True, slots=True)
class TypeTraffic:
    """One type: ``count`` events in the log, ``rate`` more of them a second lately."""

    type: str
    count: int
    rate: float


class Traffic:
    """A listener of the log that adds; what was there before it, the log is asked for once.

    ``listen`` runs on committing threads and costs them one addition for each event; ``_lock``
    guards everything. ``recount`` reads the log and belongs to a thread that may wait for that.
    """

    def __init__(self, log: EventLog, clock: Callable[[], float] = time.time) -> None:
        """``clock`` gives Unix seconds."""
        self._log = log
        self._clock = clock
        self._lock = threading.Lock()
        self._known: set[str] = set()
        self._counted: Counts = {}  # in the log up to the last recount's position
        self._since: Counts = {}  # heard after it
        self._fresh: Counts | None = None  # heard after the position of a recount under way
        self._fresh_base = 0
        self.opened_at = 0
        """What was recorded up to this sequence, it was not told of."""
        self._removed_count = -1
        self._second = int(clock())
        self._now: Counts = {}
        self._heard: Counts = {}  # since ``open``, up to the beginning of this second
        self._seconds: deque[Counts] = deque(maxlen=_WINDOW_S)
        self._steps: dict[int, Counts] = {}
        self._is_filled = threading.Event()

    def open(self) -> None:
        """Begin to listen; ``recount`` adds what the log holds already."""
        self._log.add_listener(self.listen)
        with self._lock:
            # Of a commit that ends right now the listener may still hear: it is in the log.
            self.opened_at = self._log.last_sequence
            self._since, self._now = {}, {}

    def close(self) -> None:
        """Hear no more."""
        self._log.remove_listener(self.listen)

    def listen(self, events: Sequence[Event]) -> None:
        """Add what a commit recorded, in sequence order."""
        with self._lock:
            self._turn()
            now, since, fresh = self._now, self._since, self._fresh
            for event in events:
                sequence = event.sequence or 0
                if sequence <= self.opened_at:
                    continue
                type = event.type if event.type in self._known else self._told_apart(event.type)
                now[type] = now.get(type, 0) + 1
                since[type] = since.get(type, 0) + 1
                if fresh is not None and sequence > self._fresh_base:
                    fresh[type] = fresh.get(type, 0) + 1

    def recount(self) -> None:
        """Count the log by type again when something was removed from it, or never was counted.

        About 10 million events a second, from an index alone.
        """
        removed_count = self._log.removed_count
        if removed_count == self._removed_count:
            return
        with self._lock:
            self._fresh, self._fresh_base = {}, self._log.last_sequence
            base = self._fresh_base
        try:
            found = self._log.counts(0, base)
            with self._lock:
                self._known.update(seen.type for seen in found)
                self._counted = {seen.type: seen.count for seen in found}
                self._since, self._fresh = self._fresh, None
                self._removed_count = removed_count
        finally:
            self._is_filled.set()  # or as good as it gets: nobody waits for it a second time

    def wait_filled(self, timeout_s: float) -> bool:
        """Block until the log was counted once; False when that takes longer."""
        return self._is_filled.wait(timeout_s)

    def types(self) -> list[TypeTraffic]:
        """All types that were seen, the most frequent first; one called REST for too many."""
        with self._lock:
            self._turn()
            totals = dict(self._counted)
            _add(totals, self._since)
            lately: Counts = {}
            for second in self._seconds:
                _add(lately, second)
            seconds = len(self._seconds)
        found = [
            TypeTraffic(type, count, round(lately.get(type, 0) / seconds, 1) if seconds else 0.0)
            for type, count in totals.items()
            if count
        ]
        found.sort(key=lambda seen: (-seen.count, seen.type))
        return found

    def heard(self) -> Counts:
        """How many events of each type this process has recorded; never fewer than before.

        Types keep their order, that of their first event.
        """
        with self._lock:
            counts = dict(self._heard)
            _add(counts, self._now)
        return counts

    def steps(self) -> dict[int, Counts]:
        """Counts by type of each of the last whole steps; a key is Unix time by STEP_S."""
        with self._lock:
            self._turn()
            last = self._second // STEP_S
            return {
                step: dict(counts)
                for step, counts in self._steps.items()
                if last - STEPS <= step < last
            }

    def fill_steps(self, steps: Mapping[int, Counts]) -> None:
        """Add what the log says of steps before this process listened."""
        with self._lock:
            for step, counts in steps.items():
                _add(self._steps.setdefault(step, {}), counts)

    def _told_apart(self, type: str) -> str:
        if len(self._known) >= MOST_KNOWN:
            return REST
        self._known.add(type)
        return type

    def _turn(self) -> None:
        now = int(self._clock())
        if now == self._second:
            return
        if self._now:
            _add(self._heard, self._now)
            _add(self._steps.setdefault(self._second // STEP_S, {}), self._now)
        # A clock that was set back, or ahead by more than a window, leaves no gap to fill.
        quiet = max(0, min(now - self._second - 1, _WINDOW_S))
        self._seconds.append(self._now)
        self._seconds.extend({} for _ in range(quiet))
        self._now = {}
        self._second = now
        last = now // STEP_S
        for step in [step for step in self._steps if not last - STEPS <= step <= last]:
            del self._steps[step]


def by_family(counts: Mapping[str, int]) -> Counts:
    """The counts of types rolled up into the counts of their first segments."""
    rolled: Counts = {}
    for type, count in counts.items():
        family = type.partition(".")[0]
        rolled[family] = rolled.get(family, 0) + count
    return rolled


def total(counts: Iterable[Counts]) -> Counts:
    """The sums of several counts."""
    summed: Counts = {}
    for each in counts:
        _add(summed, each)
    return summed


def _add(counts: Counts, more: Mapping[str, int]) -> None:
    for type, count in more.items():
        counts[type] = counts.get(type, 0) + count
