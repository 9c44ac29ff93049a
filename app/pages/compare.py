"""Two attempts side by side, of one evaluation or of two: the time that each step took, and what
differs in what they began with and ended in."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from flask import Blueprint, request

from app.evaluation_requests import named
from app.pages.attempts import AttemptSpan, attempts, lifecycle
from app.pages.frame import render
from app.pages.json_diff import Differences, differences
from app.pages.times import between
from app.problems import ProblemError
from app.runtime import runtime
from eventbus import Event, Pattern
from eventbus.log import EventLog, EventQuery
from handlers.evaluation import Evaluation

_ENDS = ("failed", "completed", "cancelled")

blueprint = Blueprint("compare_page", __name__)


@dataclass(frozen=True, slots=True)
class Side:
    """One attempt of an evaluation: the times of its steps and its first and last event."""

    evaluation: Evaluation
    spans: Sequence[AttemptSpan]
    span: AttemptSpan
    first_progress_at: datetime | None
    started: Event | None
    ended: Event | None


@dataclass(frozen=True, slots=True)
class Step:
    """How long one step took on both sides, in milliseconds, None when that is not known.

    ``widths`` are their shares of the longest step, in thousandths.
    """

    name: str
    times_ms: tuple[float | None, float | None]
    widths: tuple[int, int]

    @property
    def change_ms(self) -> float | None:
        """How much longer the right one took."""
        left, right = self.times_ms
        return None if left is None or right is None else right - left

    @property
    def ratio(self) -> float | None:
        """The right one's time divided by the left one's."""
        left, right = self.times_ms
        return right / left if left and right is not None else None


@blueprint.get("/evaluations/compare")
def compare() -> str:
    """``id`` once or twice, ``attempt`` for each side, else the last two or the last of each."""
    ids = [each for each in request.args.getlist("id") if each]
    if len(ids) not in (1, 2):
        raise ProblemError(
            400,
            "Nothing to compare",
            f"pick two evaluations, or two attempts of one; not {len(ids)}",
        )
    wanted = [*request.args.getlist("attempt"), "", ""]
    left = _side(ids[0], wanted[0], default=-2 if len(set(ids)) == 1 else -1)
    right = _side(ids[-1], wanted[1], default=-1)
    return render(
        "compare.html",
        "evaluations",
        sides=[left, right],
        steps=_steps(left, right),
        parts=[
            (title, found)
            for title, found in (
                ("What they began with", _compared(left.started, right.started)),
                ("What they ended in", _compared(left.ended, right.ended)),
            )
            if found is not None
        ],
        is_same=(left.evaluation.eval_id, left.span.number)
        == (right.evaluation.eval_id, right.span.number),
    )


def _side(eval_id: str, wanted: str, default: int) -> Side:
    found = named(eval_id)
    parts = runtime()
    spans = [span for span in attempts(lifecycle(parts, found)) if span.started_at or span.ended_by]
    if not spans:
        spans = [AttemptSpan(found.attempt)]
    chosen = [span for span in spans if str(span.number) == wanted]
    if wanted and not chosen:
        raise ProblemError(
            404, "No such attempt", f"evaluation {eval_id[:100]!r} has no attempt {wanted[:20]!r}"
        )
    span = chosen[0] if chosen else spans[max(default, -len(spans))]
    started = next((event for event in span.events if event.type == "evaluation.started"), None)
    ended = span.ended_by if span.outcome in _ENDS else None
    return Side(found, spans, span, _first_progress(parts.bus.log, started, ended), started, ended)


def _first_progress(log: EventLog, started: Event | None, ended: Event | None) -> datetime | None:
    if started is None:
        return None
    page = log.query(
        EventQuery(
            pattern=Pattern("evaluation.progress"),
            subject=started.subject,
            after=started.sequence,
            before=None if ended is None else ended.sequence,
            order="asc",
            limit=1,
        )
    )
    return page.events[0].time if page.events else None


def _steps(left: Side, right: Side) -> list[Step]:
    rows = [
        ("Waiting to be started", [side.span.waited_ms for side in (left, right)]),
        ("Until its first progress", [between(side.span.started_at, side.first_progress_at)
                                      for side in (left, right)]),
        ("From there to its end", [between(side.first_progress_at, side.span.ended_at)
                                   for side in (left, right)]),
        ("The whole attempt", [side.span.duration_ms for side in (left, right)]),
    ]  # fmt: skip
    longest = max((time for _, times in rows for time in times if time), default=0) or 1
    return [
        Step(name, (times[0], times[1]), (_width(times[0], longest), _width(times[1], longest)))
        for name, times in rows
        if times != [None, None]
    ]


def _width(time_ms: float | None, longest_ms: float) -> int:
    # What took any time at all can be seen.
    return max(6, round(1000 * time_ms / longest_ms)) if time_ms and time_ms > 0 else 0


def _compared(left: Event | None, right: Event | None) -> Differences | None:
    if left is None or right is None:
        return None
    return differences(_payload(left), _payload(right))


def _payload(event: Event) -> Any:
    return {"type": event.type, "data": event.data}
