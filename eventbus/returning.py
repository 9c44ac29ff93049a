"""Deliveries on their way back: handed to lanes that have passed them, each exactly once."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from itertools import islice

from eventbus.lane import MAX_RETRYING, Lane
from eventbus.log.deliveries import Unfinished

# How long live events may have to wait behind what comes back, and how many of those a lane holds
# at most, those that wait for a retry included.
_AHEAD_MS = 500.0
_MOST_AHEAD = 500
_MOST_HELD = 1_000
_RECENT = 50


class _Held:
    """What one lane holds of it."""

    __slots__ = ("finished", "sequences")

    def __init__(self) -> None:
        self.sequences: set[int] = set()
        self.finished: set[int] = set()  # of those: done, but a page that is being read has them


class Returns:
    """Used on the dispatcher's loop alone.

    A redriven or replayed delivery lies below the position up to which its lane has read the log,
    so the lane would never meet it; one that is behind would. Which of the two holds may change
    while the delivery is being made pending. So it is announced before that is committed
    (``expect``), left out of every page of the log from then on (``without``), and handed over
    after the commit (``hand``), however far the lane has come meanwhile.
    """

    def __init__(
        self,
        lane_of: Callable[[int], Lane | None],
        pump: Callable[[Lane], None],
    ) -> None:
        """``lane_of`` gives the lane that serves a subscription's id now, None for none."""
        self._lane_of = lane_of
        self._pump = pump
        self._expected: dict[int, set[int]] = {}
        self._held: dict[Lane, _Held] = {}

    def room(self, id: int) -> int | None:
        """How many more may come back now; None when nothing serves the subscription.

        As many as the lane works off in half a second, so that live events do not wait long.
        """
        lane = self._lane_of(id)
        if lane is None:
            return None
        if lane.retrying >= MAX_RETRYING // 2:
            return 0
        held = len(self._held[lane].sequences) if lane in self._held else 0
        recent = list(islice(reversed(lane.durations_ms), _RECENT))
        mean_ms = max(0.01, sum(recent) / len(recent)) if recent else _AHEAD_MS
        concurrency = max(1, lane.concurrency)
        ahead = min(_MOST_AHEAD, max(concurrency, int(concurrency * _AHEAD_MS / mean_ms)))
        in_work = max(0, held - lane.retrying)
        return max(0, min(ahead - in_work, _MOST_HELD - held))

    def expect(self, id: int, sequences: Iterable[int]) -> Lane | None:
        """Announce what is about to become pending; returns who serves the subscription now."""
        self._expected.setdefault(id, set()).update(sequences)
        return self._lane_of(id)

    def forget(self, id: int, sequences: Iterable[int]) -> None:
        """It did not become pending."""
        expected = self._expected.get(id)
        if expected is not None:
            expected.difference_update(sequences)
            if not expected:
                del self._expected[id]

    def hand(self, id: int, pending: Sequence[Unfinished], expected: Iterable[int]) -> None:
        """Give what became pending, of all that was expected, to the lane of now.

        Without one it stays in the log, where the next one finds it.
        """
        self.forget(id, expected)
        lane = self._lane_of(id)
        if lane is None or lane.is_closed or not pending:
            return
        held = self._held.setdefault(lane, _Held())
        for unfinished in pending:
            sequence = unfinished.event.sequence or 0
            held.sequences.add(sequence)
            held.finished.discard(sequence)
            lane.take_back(unfinished)
        self._pump(lane)

    def without(self, lane: Lane, page: list[Unfinished]) -> list[Unfinished]:
        """A page that was read from the log, without what comes by ``hand``."""
        expected = self._expected.get(lane.id) if lane.id is not None else None
        held = self._held.get(lane)
        if held is None and not expected:
            return page
        left_out = (expected or set()) | (held.sequences if held is not None else set())
        page = [unfinished for unfinished in page if unfinished.event.sequence not in left_out]
        if held is not None:
            held.sequences -= held.finished
            held.finished.clear()
        return page

    def finished(self, lane: Lane, sequence: int) -> None:
        """A delivery of this lane has ended, succeeded or dead."""
        held = self._held.get(lane)
        if held is None or sequence not in held.sequences:
            return
        if lane.is_loading:  # that page may be of a time when it was pending
            held.finished.add(sequence)
        else:
            held.sequences.discard(sequence)
            if not held.sequences:
                del self._held[lane]

    def removed(self, lane: Lane) -> None:
        """The lane is served no more; what it held is in the log."""
        self._held.pop(lane, None)
