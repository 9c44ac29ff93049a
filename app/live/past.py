"""The charts and the tree of types as of a moment of the past, counted from the log."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from app.live.traffic import STEP_S, STEPS, TypeTraffic
from app.live.trends import MOST_DURATIONS, Trend, counted, percentiles, trend_of
from app.live.type_tree import TypeTree, type_tree
from eventbus.timestamps import to_microseconds

if TYPE_CHECKING:
    from eventbus.log import EventLog
    from handlers import Handlers
    from handlers.travel import PastHandlers

_RATE_S = 10


def past_trend(
    log: EventLog, handlers: Handlers | PastHandlers, position: int, at: datetime
) -> Trend:
    """The five minutes before ``at`` (aware); of its last, unfinished step what there was by then.

    Some sixty look-ups by time, and counts from an index alone.
    """
    last = to_microseconds(at) // 1_000_000 // STEP_S
    steps = range(last - STEPS + 1, last + 1)
    counts = counted(log, steps, position)
    ended = handlers.evaluations.lately_completed(MOST_DURATIONS)
    active = {last: handlers.counters()["active"] or 0}
    return trend_of(steps, counts, active, {step: percentiles(ended, step) for step in steps})


def past_tree(log: EventLog, position: int, at: datetime) -> TypeTree:
    """The types of all events up to ``position``; about 10 million of them a second."""
    since = min(position, log.newest_before((at - timedelta(seconds=_RATE_S)).astimezone(UTC)))
    lately = {seen.type: seen.count for seen in log.counts(since, position)}
    found = [
        TypeTraffic(seen.type, seen.count, round(lately.get(seen.type, 0) / _RATE_S, 1))
        for seen in log.counts(0, position)
    ]
    return type_tree(sorted(found, key=lambda seen: (-seen.count, seen.type)))
