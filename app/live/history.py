"""A part of the log as the page shows it: the newest rows, and exact counts of what is older."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from app.live.fold import ROWS_AT_ONCE, Fold, Row, merge_down
from eventbus import Event, Pattern
from eventbus.log import EventQuery

if TYPE_CHECKING:
    from eventbus.log import EventLog


@dataclass(frozen=True, slots=True)
class Span:
    """What matches a pattern after the sequence ``after`` up to ``upto`` (inclusive).

    ``events`` are the newest, newest first; ``folds`` stand for all others; ``count`` is both.
    """

    after: int
    upto: int
    events: Sequence[Event]
    folds: Sequence[Fold]

    @property
    def count(self) -> int:
        return len(self.events) + sum(fold.count for fold in self.folds)

    @property
    def rows(self) -> list[Row]:
        """Everything as rows, newest first."""
        return [*self.events, *sorted(self.folds, key=lambda fold: fold.last, reverse=True)]


def read_span(
    log: EventLog, pattern: Pattern, after: int, upto: int, most: int = ROWS_AT_ONCE
) -> Span:
    """The span with at most ``most`` events; two queries, however long it is."""
    if upto <= after:
        return Span(after, upto, (), ())
    page = log.query(
        EventQuery(pattern=pattern, after=after, before=upto + 1, order="desc", limit=most)
    )
    if page.next is None:
        return Span(after, upto, page.events, ())
    oldest = page.events[-1].sequence or 0
    second = int(time.time())
    folds = [
        Fold(seen.type, second, seen.count, seen.first, seen.last)
        for seen in log.counts(after, oldest - 1, pattern)
    ]
    return Span(after, upto, page.events, merge_down(folds, pattern))
