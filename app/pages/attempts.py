"""The attempts of an evaluation, read from its events: when each began, how and why it ended."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from app.pages.times import between
from eventbus import Event, Pattern
from eventbus.log import EventLog, EventQuery

# Progress events are many and say nothing about where attempts begin and end.
_TYPES = ("started", "retry", "stalled", "failed", "completed", "exhausted")
_MOST_OF_A_TYPE = 100


@dataclass(slots=True)
class AttemptSpan:
    """One attempt. ``outcome`` is None while nothing has ended it; ``ended_by`` did."""

    number: int
    started_at: datetime | None = None
    ended_at: datetime | None = None
    outcome: str | None = None
    error: Any = None
    ended_by: Event | None = None

    @property
    def duration_ms(self) -> float | None:
        """How long it took, None when its start or its end is not known."""
        return between(self.started_at, self.ended_at)


@dataclass(frozen=True, slots=True)
class Bar:
    """An attempt on the time axis: ``x`` and ``width`` in thousandths of the whole."""

    attempt: AttemptSpan
    x: int
    width: int


def lifecycle(log: EventLog, eval_id: str) -> list[Event]:
    """The events that began or ended an attempt of this evaluation, ascending."""
    found: list[Event] = []
    for name in _TYPES:
        query = EventQuery(
            pattern=Pattern(f"evaluation.{name}"), subject=eval_id, limit=_MOST_OF_A_TYPE
        )
        found += log.query(query).events
    return sorted(found, key=lambda event: event.sequence or 0)


def attempts(events: Iterable[Event]) -> list[AttemptSpan]:
    """The attempts that these events (ascending) tell of, by number."""
    spans: dict[int, AttemptSpan] = {}
    current = 1
    for event in events:
        kind = event.type.rpartition(".")[2]
        if kind in ("retry", "exhausted"):
            continue  # they follow from a failure that has its own event
        number = _number(event)
        if kind == "started":
            if number is None:
                known = spans.get(current)
                number = (
                    current + 1 if known and known.outcome in ("failed", "completed") else current
                )
            span = spans.setdefault(number, AttemptSpan(number))
            span.started_at = span.started_at or event.time
        else:
            number = number or current
            span = spans.setdefault(number, AttemptSpan(number))
            if span.outcome in (None, "stalled"):
                span.outcome, span.ended_at, span.ended_by = kind, event.time, event
                span.error = event.data.get("error")
        current = max(current, number)
    return [spans[number] for number in sorted(spans)]


def bars(spans: list[AttemptSpan], now: datetime) -> list[Bar]:
    """The attempts side by side on one axis from the first start to the last end, or to ``now``."""
    starts = [span.started_at or span.ended_at for span in spans]
    ends = [span.ended_at if span.outcome not in (None, "stalled") else now for span in spans]
    known = [moment for moment in (*starts, *ends) if moment is not None]
    if not known:
        return []
    first, last = min(known), max(known)
    whole = max((last - first).total_seconds(), 1e-6)

    def place(moment: datetime | None) -> int:
        return round(1000 * ((moment or last) - first).total_seconds() / whole)

    # At least eight thousandths wide: an attempt of no length can still be seen and pointed at.
    return [
        Bar(span, min(place(start), 992), max(8, place(end) - place(start)))
        for span, start, end in zip(spans, starts, ends, strict=True)
    ]


def _number(event: Event) -> int | None:
    data = event.data
    attempt = data.get("attempt")
    if isinstance(attempt, int) and not isinstance(attempt, bool) and attempt > 0:
        return attempt
    retries = data.get("retry_count")
    if isinstance(retries, int) and not isinstance(retries, bool) and retries >= 0:
        return retries + 1
    return None
