"""The ``queue.*`` types that the handler beside this file reads."""

from __future__ import annotations

from eventbus.catalogue.fields import Schema, anything, declared, name, record, whole
from handlers.payload import MAX_IDENTIFIER_CHARS

OWNER = "Queue"
_MOST = 2**53


def _of(**more: Schema) -> Schema:
    return record(
        "task_id",
        task_id=name("which task", MAX_IDENTIFIER_CHARS),
        queue={
            "description": "which queue; \"default\" when it is not said, or empty",
            "anyOf": [name("its name", MAX_IDENTIFIER_CHARS),
                      {"enum": [None, False, 0, "", [], {}]}],
        },
        eval_id=anything("the evaluation that it is for"),
        attempt=whole("which attempt, from 1; else retry_count says it", 1, _MOST),
        retry_count=whole("how many attempts there were before", 0, _MOST),
        **more,
    )  # fmt: skip


_EXAMPLE = {"queue": "default", "task_id": "task-1", "eval_id": "eval-42"}

TYPES = (
    declared(
        "queue.task.added", "A task waits", "It was put into a queue, and counts for its depth.",
        _of(task=anything("what it is to do")), _EXAMPLE, OWNER,
    ),
    declared(
        "queue.task.started", "A task is taken", "Somebody works on it; it waits no more.",
        _of(), _EXAMPLE, OWNER,
    ),
    declared(
        "queue.task.processed", "A task is done", "It has left its queue for good.",
        _of(), _EXAMPLE, OWNER,
    ),
    declared(
        "queue.task.failed", "A task has failed",
        "It has left its queue; a higher attempt brings it back.",
        _of(error=anything("what went wrong")), {**_EXAMPLE, "error": "ConnectionResetError"},
        OWNER,
    ),
)  # fmt: skip
