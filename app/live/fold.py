"""Folding: what a flood becomes on the page, one line per type with an exact count."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import ClassVar

from eventbus import Event, Pattern

ROWS_PER_TICK = 50
"""A browser keeps 60 frames a second with this many new rows per 100 ms."""
FOLDS_AT_ONCE = 100
"""With more types than this in one message a line each would be a flood again."""
ROWS_AT_ONCE = 200
"""The page keeps 300 rows; with the folds, one message never pushes out part of itself."""

_ROWS_PER_S = 500
_FOLLOWED_PER_S = 100
_FLOOD_FROM, _FLOOD_UNTIL, _FLOOD_MOST = 400, 150, 500
_FEW = 5  # as rows of their own they are shorter than the lines that would count them
_NEVER_FOLDED_ENDINGS = frozenset({"failed", "exhausted", "stalled", "retry"})


@dataclass(frozen=True, slots=True)
class Fold:
    """Events that are shown as one line.

    ``type`` is the pattern that finds them again between the sequences ``first`` and ``last``
    (inclusive): their type, or the view's own pattern when there are too many types for a line
    each. ``second`` is the Unix time that, with the type, tells which lines may be merged.
    """

    type: str
    second: int
    count: int
    first: int
    last: int

    is_fold: ClassVar[bool] = True

    @property
    def key(self) -> str:
        """Lines with the same key are one line."""
        return f"{self.type}|{self.second}"

    @property
    def sequence(self) -> int:
        """Where the line stands among rows."""
        return self.last

    @property
    def is_important(self) -> bool:
        """Whether it counts what would have been rows, had there not been too many."""
        return never_folds(self.type)


Row = Event | Fold


def never_folds(type: str) -> bool:
    """Whether events of this type are too important to disappear in a count."""
    return type.startswith("alert.") or type.rpartition(".")[2] in _NEVER_FOLDED_ENDINGS


class RowBudget:
    """How many rows a view may show in a tick when there are more than 50.

    A token bucket: a burst of 200 failures is 200 rows, but for seconds on end there are no more
    than the 500 a second that 50 a tick are. For one thread. Decision 0023 has the reasons.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._left = float(ROWS_AT_ONCE)
        self._at = clock()

    @property
    def left(self) -> int:
        """Rows that may be shown now."""
        now = self._clock()
        self._left = min(ROWS_AT_ONCE, self._left + (now - self._at) * _ROWS_PER_S)
        self._at = now
        return int(self._left)

    def spend(self, count: int) -> None:
        """Note that rows were shown."""
        self._left = max(0.0, self._left - count)


class Flood:
    """Whether a view gets more than a person can follow, though no single tick is too much.

    A leaky bucket of what ordinary rows are: 100 a second leak out, and with 400 in it, more than
    the page's list holds, it is a flood until 150 are left. So a burst is rows, a lasting 400 a
    second folds after a good second, and what is near the bound does not change sides all the time.
    For one thread.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._level = 0.0
        self._at = clock()
        self._is_on = False

    def after(self, count: int) -> bool:
        """Note ``count`` more events; whether they are part of a flood."""
        now = self._clock()
        left = max(0.0, self._level - (now - self._at) * _FOLLOWED_PER_S)
        self._level = min(_FLOOD_MOST, left + count)
        self._at = now
        self._is_on = self._level > (_FLOOD_UNTIL if self._is_on else _FLOOD_FROM)
        return self._is_on


def rows_of(
    events: Sequence[Event],
    second: int,
    pattern: Pattern,
    most: int = ROWS_AT_ONCE,
    is_flood: bool = False,
) -> list[Row]:
    """The rows that show ``events`` (ascending, all of ``pattern``), newest first.

    Up to 50 events are a row each, in a flood up to 5. Of more, failures and alerts stay rows, the
    newest ``most`` of them, and everything else folds.
    """
    if len(events) <= (_FEW if is_flood else ROWS_PER_TICK):
        return list(reversed(events))
    important = [event for event in events if never_folds(event.type)]
    kept = important[max(0, len(important) - most) :]
    kept_sequences = {event.sequence for event in kept}
    folded = [event for event in events if event.sequence not in kept_sequences]
    rows: list[Row] = [*kept, *fold(folded, second, pattern)]
    rows.sort(key=_position, reverse=True)
    return rows


def fold(events: Iterable[Event], second: int, pattern: Pattern) -> list[Fold]:
    """One fold per type of ``events`` (ascending), or a single one for too many types."""
    by_type: dict[str, Fold] = {}
    for event in events:
        sequence = event.sequence or 0
        old = by_type.get(event.type)
        by_type[event.type] = (
            Fold(event.type, second, 1, sequence, sequence)
            if old is None
            else Fold(event.type, second, old.count + 1, old.first, sequence)
        )
    return merge_down(list(by_type.values()), pattern)


def merge_down(folds: list[Fold], pattern: Pattern) -> list[Fold]:
    """The same counts in at most 100 folds: if there are more, a single one of ``pattern``."""
    if len(folds) <= FOLDS_AT_ONCE:
        return folds
    return [
        Fold(
            pattern.text,
            max(each.second for each in folds),
            sum(each.count for each in folds),
            min(each.first for each in folds),
            max(each.last for each in folds),
        )
    ]


def counts_by_type(folds: Iterable[Fold]) -> dict[str, int]:
    """How many events of each type (or pattern) the folds stand for."""
    counts: Counter[str] = Counter()
    for each in folds:
        counts[each.type] += each.count
    return dict(counts)


def _position(row: Row) -> int:
    return row.sequence or 0
