"""The life of a queued task, as a pure function: waiting -> running -> failed | processed.

Stages only ever go up, and a higher attempt begins again; so events may come in any order and
twice, and the same task results. A task that is queued again under the same id says so with
``attempt`` or ``retry_count``; without, a second "added" is taken for what it mostly is, a
duplicate.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

from eventbus import Event
from eventbus.timestamps import to_microseconds
from handlers import payload

WAITING, RUNNING, FAILED, PROCESSED = range(4)
UNKNOWN = -1  # a task of which only later stages have been seen, before any stage counts

STAGES: dict[str, int] = {
    "queue.task.added": WAITING,
    "queue.task.started": RUNNING,
    "queue.task.failed": FAILED,
    "queue.task.processed": PROCESSED,
}
DEFAULT_QUEUE = "default"


@dataclass(frozen=True, slots=True)
class TaskFacts:
    """One event about one task; ``time`` in microseconds since the epoch."""

    queue: str
    task_id: str
    stage: int
    attempt: int
    time: int
    sequence: int
    eval_id: str | None = None


class Task(NamedTuple):
    """The state of one task: a row of its table, with the columns in their order.

    Times are microseconds since the epoch, None when that stage's event has not been seen.
    ``left_at`` is when it stopped waiting, by its start or else its end; ``waited_us`` how long
    it had waited then.
    """

    queue: str
    task_id: str
    attempt: int
    stage: int
    added_at: int | None = None
    started_at: int | None = None
    finished_at: int | None = None
    left_at: int | None = None
    waited_us: int | None = None
    eval_id: str | None = None


def read(event: Event) -> TaskFacts | None:
    """The facts of a recorded event, None for a type that is not about a task's stage.

    Raises MalformedEventError when no task is named.
    """
    stage = STAGES.get(event.type)
    if stage is None:
        return None
    attempt = payload.count(event, "attempt", lowest=1)
    if attempt is None:
        attempt = (payload.count(event, "retry_count") or 0) + 1
    return TaskFacts(
        queue=_queue(event),
        task_id=payload.identifier_or_subject(event, "task_id"),
        stage=stage,
        attempt=attempt,
        time=to_microseconds(event.time),
        sequence=event.sequence or 0,
        eval_id=payload.label(event.data.get("eval_id")),
    )


def key(event: Event) -> str:
    """The ordering key: the task that the event is about, in its queue."""
    data = event.data
    return f"{data.get('queue') or DEFAULT_QUEUE}\0{data.get('task_id', event.subject)}"


def _queue(event: Event) -> str:
    return DEFAULT_QUEUE if not event.data.get("queue") else payload.identifier(event, "queue")


def advance(task: Task | None, facts: TaskFacts) -> Task:
    """The task after one event; the very same object when nothing changes."""
    if task is None or facts.attempt > task.attempt:
        task = Task(facts.queue, facts.task_id, facts.attempt, UNKNOWN)
    elif facts.attempt < task.attempt:
        return task
    added_at, started_at, finished_at = task.added_at, task.started_at, task.finished_at
    if facts.stage == WAITING:
        added_at = facts.time if added_at is None else added_at
    elif facts.stage == RUNNING:
        started_at = facts.time if started_at is None else started_at
    elif facts.stage > task.stage:
        finished_at = facts.time
    left_at = finished_at if started_at is None else started_at
    waited_us = None
    if added_at is not None and left_at is not None:
        waited_us = max(0, left_at - added_at)  # clocks of two machines may disagree
    advanced = task._replace(
        stage=max(task.stage, facts.stage),
        added_at=added_at,
        started_at=started_at,
        finished_at=finished_at,
        left_at=left_at,
        waited_us=waited_us,
        eval_id=task.eval_id or facts.eval_id,
    )
    return task if advanced == task else advanced
