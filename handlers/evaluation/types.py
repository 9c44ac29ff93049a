"""The ``evaluation.*`` types: what the handler beside this file reads, and what it publishes."""

from __future__ import annotations

from eventbus.catalogue.fields import (
    BY,
    Schema,
    anything,
    declared,
    moment,
    name,
    number,
    record,
    text,
    whole,
)
from handlers.payload import MAX_IDENTIFIER_CHARS
from handlers.settings import MAX_ATTEMPT

OWNER = "Evaluations"
RUNNER = "Evaluation runner"

EVAL_ID = name("which evaluation", MAX_IDENTIFIER_CHARS)
ERROR: Schema = {
    "description": "what went wrong: an object, or a text",
    "properties": {
        "type": {"description": "its class: alerts are grouped by it"},
        "message": {"description": "in words"},
        "severity": {"description": "critical raises an alert"},
        "traceback": {"description": "where it was raised"},
    },
}
OPERATION = anything("the number of the operation that it was part of")
_MOST = 2**53
_COMMON = {
    "eval_id": EVAL_ID,
    "attempt": whole("which attempt, from 1; else retry_count says it", 1, MAX_ATTEMPT),
    "retry_count": whole("how many attempts there were before", 0, MAX_ATTEMPT - 1),
    "max_retries": whole("how often it may be retried; else the configuration says it", 0,
                         MAX_ATTEMPT - 1),
    "task": {"description": "its kind: bounds and delays are learned and set by it"},
    "model": {"description": "the model that is evaluated"},
    "done": whole("samples that are done", 0, _MOST),
    "total": whole("samples in all", 0, _MOST),
    "errors": whole("samples with an error", 0, _MOST),
    "error": ERROR,
}  # fmt: skip
_FAILURE = {"type": "RateLimitError", "message": "429 Too Many Requests", "severity": "critical"}


def _of(required: str, *shown: str, **more: Schema) -> Schema:
    """Every rule that holds for all of them, those that are ``shown`` first."""
    rules = {each: _COMMON[each] for each in (*shown, *_COMMON)}
    return record(required, **{**rules, **more})


TYPES = (
    declared(
        "evaluation.started", "An evaluation begins",
        "An attempt of an evaluation has begun. It counts as active from now on, and again with "
        "each attempt.",
        _of("eval_id", "eval_id", "task", "model", "total", "retry_count"),
        {"eval_id": "eval-42", "task": "gsm8k", "model": "claude-opus-4", "total": 200},
        RUNNER,
    ),
    declared(
        "evaluation.progress", "An evaluation gets on",
        "How many samples are done. Numbers only ever go up within an attempt.",
        _of("eval_id", "eval_id", "done", "total", "errors"),
        {"eval_id": "eval-42", "done": 120, "total": 200, "errors": 1},
        RUNNER,
    ),
    declared(
        "evaluation.completed", "An evaluation is done",
        "It ended well; its result is stored.",
        _of("eval_id", "eval_id", result=anything("any JSON; kept with the evaluation")),
        {"eval_id": "eval-42", "result": {"accuracy": 0.912, "stderr": 0.013, "samples": 200}},
        RUNNER,
    ),
    declared(
        "evaluation.failed", "An attempt has failed",
        "A retry is asked for while there are any left; with a critical error an alert is raised.",
        _of("eval_id", "eval_id", "error", "retry_count"),
        {"eval_id": "eval-42", "error": _FAILURE, "retry_count": 0},
        RUNNER,
    ),
    declared(
        "evaluation.retry", "Another attempt is asked for",
        "Whoever runs evaluations begins the attempt; retry_count says which.",
        _of("eval_id", "eval_id", "retry_count", by=BY, operation=OPERATION),
        {"eval_id": "eval-42", "retry_count": 1},
        OWNER,
    ),
    declared(
        "evaluation.retry_scheduled", "A retry will be asked for",
        "After the delay that is set for this kind of evaluation.",
        _of("eval_id at", "eval_id", "retry_count", at=moment("when")),
        {"eval_id": "eval-42", "retry_count": 1, "at": "2026-11-24T14:03:22Z"},
        OWNER,
    ),
    declared(
        "evaluation.exhausted", "The retries are used up",
        "It waits in the inbox until somebody looks at it.",
        _of("eval_id", "eval_id", "retry_count", "error"),
        {"eval_id": "eval-42", "retry_count": 3, "error": _FAILURE},
        OWNER,
    ),
    declared(
        "evaluation.stalled", "An evaluation shows no sign of life",
        "It is active for longer than evaluations of its kind are, and quiet.",
        _of("eval_id", "eval_id", "attempt",
            bound_s=anything("how many seconds it may take")),
        {"eval_id": "eval-42", "attempt": 1, "bound_s": 5_400.0},
        OWNER,
    ),
    declared(
        "evaluation.cancelled", "An evaluation was called off", "Nothing more comes of it.",
        _of("eval_id", "eval_id", by=BY, reason=anything("why")),
        {"eval_id": "eval-42", "by": "ann"},
        OWNER,
    ),
    declared(
        "evaluation.dismissed", "Somebody took it out of the inbox",
        "It stays exhausted, and asks for nobody any more.",
        record("eval_id", eval_id=EVAL_ID, by=BY, reason=anything("why"), operation=OPERATION),
        {"eval_id": "eval-42", "by": "ann", "reason": "known flake"},
        OWNER,
    ),
    declared(
        "evaluation.sample.*", "A sample of an evaluation",
        "One of its samples was completed, had an error or was cancelled. Changes no state.",
        record("eval_id", eval_id=EVAL_ID, sample_id=anything("which sample"), error=ERROR,
               scores={"type": "object", "description": "by scorer"}),
        {"eval_id": "eval-42", "sample_id": "gsm8k-17", "scores": {"match": 1}},
        RUNNER,
    ),
    declared(
        "metrics.evaluation.started", "An evaluation is counted",
        "For whoever keeps figures of their own.",
        record("eval_id timestamp", eval_id=EVAL_ID,
               timestamp=anything("when it began, as its publisher wrote it")),
        {"eval_id": "eval-42", "timestamp": "2026-11-24T14:03:22.123456Z"},
        OWNER,
    ),
    declared(
        "cleanup.evaluation", "An evaluation may be cleaned up",
        "It is completed: what it used can be let go.",
        record("eval_id", eval_id=EVAL_ID),
        {"eval_id": "eval-42"},
        OWNER,
    ),
    declared(
        "inspect.run.*", "A run of Inspect AI",
        "One call of eval() has begun or ended; its evaluations are caused by it.",
        record("run_id", run_id=text("which run"), eval_set_id=text("of which set"),
               tasks={"type": "array", "description": "their names"},
               duration_s=number("how long it took")),
        {"run_id": "r7Yq", "eval_set_id": None, "tasks": ["gsm8k"]},
        RUNNER,
    ),
)  # fmt: skip
