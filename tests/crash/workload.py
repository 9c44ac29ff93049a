"""What the clients publish: random messages, the same for the same seed, client and number."""

from __future__ import annotations

import random
from typing import Any

SHARED_SUBJECTS = 6
OWN_SUBJECTS = 3
_SHARE_LATER = 0.06
_LATER_S = (0.02, 0.6)
_SIZES = (1, 1, 1, 1, 1, 1, 2, 5, 20)


def message(seed: int, client: str, number: int) -> list[dict[str, Any]]:
    """The events of one message: one or several, most with an id of ours.

    Every event bears a marker that is in no other, by which the checker knows it without its id.
    Without an id they can only be told apart by it, and cannot be sent twice.
    """
    choose = random.Random(f"{seed}/{client}/{number}")
    size = choose.choice(_SIZES)
    has_ids = choose.random() < 0.75
    events = []
    for index in range(size):
        event = _event(choose, client, f"{client}/{number}/{index}")
        if has_ids:
            # Load events of all clients share their ids: only with the source are they unique.
            is_shared = event["type"].startswith("load.")
            event["id"] = f"{number}-{index}" if is_shared else f"{client}-{number}-{index}"
        events.append(event)
    if has_ids and size > 1 and choose.random() < 0.2:
        events.append(events[0])  # twice in one batch: recorded once
    return events


def lethal(client: str, number: int) -> list[dict[str, Any]]:
    """A message whose event kills every process that handles it."""
    return [{
        "type": "load.task.lethal", "source": f"/client/{client}", "id": f"lethal-{number}",
        "subject": f"lethal-{client}-{number}",
        "data": {"marker": f"{client}/{number}/0", "amount": 1},
    }]  # fmt: skip


def has_ids(events: list[dict[str, Any]]) -> bool:
    """Whether a message can be sent again."""
    return "id" in events[0]


def _event(choose: random.Random, client: str, marker: str) -> dict[str, Any]:
    event: dict[str, Any] = {"source": f"/client/{client}"}
    if choose.random() < 0.2:
        type, data = _platform(choose, client)
        return {**event, "type": type, "data": {**data, "marker": marker}}
    subject = f"shared-{choose.randrange(SHARED_SUBJECTS)}"
    if choose.random() < 0.5:
        subject = f"{client}-{choose.randrange(OWN_SUBJECTS)}"
    data = {"marker": marker, "amount": choose.randrange(1, 100)}
    kind = choose.random()
    if kind < 0.45:
        type = choose.choice(("load.plain", "load.plain.deep.er"))
    elif kind < 0.75:
        type = choose.choice(("load.order.placed", "load.order.changed"))
        data["note"] = choose.random() < 0.5
    elif kind < 0.90:
        type = "load.task.flaky"
        data["failures"] = choose.choice((0, 0, 1, 2))
    elif kind < 0.95:
        type = "load.task.slow"
        data["pause_ms"] = choose.randrange(1, 12)
    elif kind < 0.98:
        type = "load.task.doomed"
    else:
        type = "load.task.hang"
    if choose.random() < _SHARE_LATER:
        event["delay"] = round(choose.uniform(*_LATER_S), 3)
    return {**event, "type": type, "subject": subject, "data": data}


def _platform(choose: random.Random, client: str) -> tuple[str, dict[str, Any]]:
    """What the built-in handlers know: their counters must equal a replay."""
    eval_id = f"eval-{choose.choice((client, 'x'))}-{choose.randrange(12)}"
    error = {"type": choose.choice(("OutOfMemory", "Timeout")), "message": "m"}
    severity = choose.choice(("critical", "minor"))
    task = {"queue": choose.choice("ab"), "task_id": f"task-{choose.randrange(30)}"}
    retries = choose.randrange(4)
    failure = {"eval_id": eval_id, "retry_count": retries, "error": {**error, "severity": severity}}
    contents: list[tuple[str, dict[str, Any]]] = [
        ("evaluation.started", {"eval_id": eval_id, "retry_count": retries}),
        ("evaluation.progress", {"eval_id": eval_id, "done": retries, "total": 4}),
        ("evaluation.failed", failure),
        ("evaluation.completed", {"eval_id": eval_id, "result": {"score": retries}}),
        ("queue.task.added", task),
        ("queue.task.processed", task),
        ("monitoring.metric.recorded", {"metric": "load", "value": retries}),
        ("storage.file.created", {"path": f"/f/{eval_id}", "bytes": 3, "eval_id": eval_id}),
        ("alert.warning", {"service": "load", "error": error}),
    ]
    return choose.choice(contents)
