"""What an ``evaluation.*`` event says, checked: the input of the lifecycle."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

from eventbus import Event
from eventbus.timestamps import format_time, to_microseconds
from handlers import payload
from handlers.settings import MAX_ATTEMPT

Kind = Literal[
    "started", "progress", "completed", "failed", "retry_scheduled", "retry", "exhausted",
    "stalled", "cancelled",
]  # fmt: skip

KINDS: dict[str, Kind] = {
    "evaluation.started": "started",
    "evaluation.progress": "progress",
    "evaluation.completed": "completed",
    "evaluation.failed": "failed",
    "evaluation.retry_scheduled": "retry_scheduled",
    "evaluation.retry": "retry",
    "evaluation.exhausted": "exhausted",
    "evaluation.stalled": "stalled",
    "evaluation.cancelled": "cancelled",
}


@dataclass(frozen=True, slots=True)
class Facts:
    """One event about one evaluation.

    ``attempt`` counts from 1 and is None when the event does not tell; ``time`` is in
    microseconds since the epoch, as is ``at``, when a scheduled retry is due; ``timestamp`` is the
    event's time as its publisher wrote it; ``result`` is JSON text, None when there is none;
    ``error`` is what the event carries, an object or text; ``operation`` is the one that a retry
    was part of.
    """

    kind: Kind
    eval_id: str
    sequence: int
    time: int
    attempt: int | None = None
    max_retries: int | None = None
    task: str | None = None
    model: str | None = None
    done: int | None = None
    total: int | None = None
    errors: int | None = None
    error: Any = None
    result: str | None = None
    timestamp: Any = None
    at: int | None = None
    operation: int | None = None


def read(event: Event) -> Facts | None:
    """The facts of a recorded event, None for a type that does not touch an evaluation's state.

    Raises MalformedEventError when a field that drives the state is not what it must be.
    """
    kind = KINDS.get(event.type)
    if kind is None:
        return None
    data = event.data
    return Facts(
        kind=kind,
        eval_id=payload.identifier_or_subject(event, "eval_id"),
        sequence=event.sequence or 0,
        time=to_microseconds(event.time),
        attempt=_attempt(event),
        max_retries=payload.count(event, "max_retries", highest=MAX_ATTEMPT - 1),
        task=payload.label(data.get("task")),
        model=payload.label(data.get("model")),
        done=payload.count(event, "done"),
        total=payload.count(event, "total"),
        errors=payload.count(event, "errors"),
        error=data.get("error"),
        result=_result(data) if kind == "completed" else None,
        timestamp=(data.get("timestamp") or format_time(event.time)) if kind == "started" else None,
        at=payload.time(event, "at") if kind == "retry_scheduled" else None,
        operation=payload.operation(event) if kind == "retry" else None,
    )


def key(event: Event) -> str:
    """The ordering key: the evaluation that the event is about."""
    value = event.data.get("eval_id")
    return event.subject if value is None else str(value)


def _result(data: dict[str, Any]) -> str | None:
    """None when the event brings none: one that was stored before must stay then."""
    return payload.to_json(data["result"]) if "result" in data else None


def _attempt(event: Event) -> int | None:
    attempt = payload.count(event, "attempt", 1, MAX_ATTEMPT)
    if attempt is not None:
        return attempt
    retry_count = payload.count(event, "retry_count", 0, MAX_ATTEMPT - 1)
    return None if retry_count is None else retry_count + 1
