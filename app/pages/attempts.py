"""The attempts of an evaluation, read from its events: when each began, how and why it ended."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from app.pages.times import between
from app.runtime import Runtime
from eventbus import Event
from handlers.evaluation import Evaluation, Evaluations

_MOST_STEPS = 400
_ENDS = ("failed", "completed", "cancelled")


@dataclass(slots=True)
class AttemptSpan:
    """One attempt. ``outcome`` is None while nothing has ended it; ``ended_by`` did.

    ``events`` began, stalled or ended it; ``asked_at`` is when this retry was asked for,
    ``asked_by`` who did when that was a person.
    """

    number: int
    started_at: datetime | None = None
    ended_at: datetime | None = None
    outcome: str | None = None
    error: Any = None
    ended_by: Event | None = None
    asked_at: datetime | None = None
    asked_by: str | None = None
    events: list[Event] = field(default_factory=list)

    @property
    def duration_ms(self) -> float | None:
        """How long it took, None when its start or its end is not known."""
        return between(self.started_at, self.ended_at)

    @property
    def waited_ms(self) -> float | None:
        """How long it took from the wish to retry to its start."""
        return between(self.asked_at, self.started_at)


@dataclass(frozen=True, slots=True)
class Bar:
    """An attempt on the time axis: ``x`` and ``width`` in thousandths of the whole."""

    attempt: AttemptSpan
    x: int
    width: int


def lifecycle(
    parts: Runtime, evaluation: Evaluation, known: Evaluations | None = None
) -> list[Event]:
    """The events that moved this evaluation from state to state, ascending; the last 400.

    ``known`` is the read model that the evaluation is of, by default that of now.
    """
    found = (known or parts.handlers.evaluations).steps(evaluation, _MOST_STEPS)
    events = [parts.bus.log.get_by_sequence(sequence) for sequence in found]
    return [event for event in events if event is not None]  # retention may have taken some


def attempts(events: Iterable[Event]) -> list[AttemptSpan]:
    """The attempts that these events (ascending) tell of, by number."""
    spans: dict[int, AttemptSpan] = {}
    current = 1
    for event in events:
        kind = event.type.rpartition(".")[2]
        number = _number(event)
        if kind in ("retry", "retry_scheduled"):
            if number is not None:
                _ask(spans.setdefault(number, AttemptSpan(number)), event, kind)
            continue
        if kind in ("exhausted", "progress"):
            continue  # the one follows from a failure that has its own event, the other tells less
        if kind == "started":
            if number is None:
                known = spans.get(current)
                is_over = known is not None and known.outcome in _ENDS
                number = current + 1 if is_over else current
            span = spans.setdefault(number, AttemptSpan(number))
            span.started_at = span.started_at or event.time
        else:
            number = number or (max(spans) if kind == "cancelled" and spans else current)
            span = spans.setdefault(number, AttemptSpan(number))
            if span.outcome in (None, "stalled"):
                span.outcome, span.ended_at, span.ended_by = kind, event.time, event
                span.error = event.data.get("error")
        span.events.append(event)
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


def _ask(span: AttemptSpan, event: Event, kind: str) -> None:
    span.events.append(event)
    if kind == "retry":
        span.asked_at = span.asked_at or event.time
        by = event.data.get("by")
        span.asked_by = by if isinstance(by, str) else None


def _number(event: Event) -> int | None:
    data = event.data
    attempt = data.get("attempt")
    if isinstance(attempt, int) and not isinstance(attempt, bool) and attempt > 0:
        return attempt
    retries = data.get("retry_count")
    if isinstance(retries, int) and not isinstance(retries, bool) and retries >= 0:
        return retries + 1
    return None
