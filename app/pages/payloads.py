"""Example payloads of the types that the built-in handlers know, for the publish form."""

from __future__ import annotations

from typing import Any

from eventbus import Event
from eventbus.log import EventLog, EventQuery
from eventbus.patterns import Pattern

EXAMPLES: dict[str, dict[str, Any]] = {
    "evaluation.started": {
        "eval_id": "eval-42", "task": "gsm8k", "model": "claude-opus-4", "total": 200,
    },
    "evaluation.progress": {"eval_id": "eval-42", "done": 120, "total": 200, "errors": 1},
    "evaluation.completed": {
        "eval_id": "eval-42", "result": {"accuracy": 0.912, "stderr": 0.013, "samples": 200},
    },
    "evaluation.failed": {
        "eval_id": "eval-42",
        "error": {
            "type": "RateLimitError",
            "message": "429 Too Many Requests",
            "severity": "critical",
        },
        "retry_count": 0,
    },
    "queue.task.added": {"queue": "default", "task_id": "task-1", "eval_id": "eval-42"},
    "queue.task.processed": {"queue": "default", "task_id": "task-1"},
    "monitoring.metric.recorded": {"metric": "tokens_per_second", "value": 1240.5, "unit": "1/s"},
    "storage.file.created": {"path": "logs/eval-42.eval", "bytes": 482113, "eval_id": "eval-42"},
    "alert.critical": {
        "service": "sandbox",
        "error": {"type": "DiskFull", "message": "no space left on /mnt/results"},
    },
}  # fmt: skip


def example_for(log: EventLog, type: str) -> dict[str, Any]:
    """What a payload of this type looks like: ours, else the newest recorded one, else empty."""
    if type in EXAMPLES:
        return EXAMPLES[type]
    newest = newest_of(log, type)
    return newest.data if newest else {}


def newest_of(log: EventLog, type: str) -> Event | None:
    """The newest event of exactly this type, None when there is none or the type is no type."""
    try:
        pattern = Pattern(type)
    except ValueError:
        return None
    if not pattern.is_literal:
        return None
    found = log.query(EventQuery(pattern=pattern, limit=1)).events
    return found[0] if found else None
