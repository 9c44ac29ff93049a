"""What Inspect AI's objects say, as the data of events: plain JSON of bounded size.

The objects are those of ``inspect_ai.hooks`` and ``inspect_ai.log``; they are read by attribute
alone, so that this needs Inspect AI neither to be imported nor to be tested.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from datetime import datetime
from itertools import islice
from pathlib import Path
from typing import Any

from eventbus.integrations.plain import MAX_ITEMS as MAX_ITEMS
from eventbus.integrations.plain import plain as plain
from eventbus.integrations.plain import text as text

MAX_TRACEBACK_CHARS = 8_000
MAX_METRICS = 500
_MAX_ERROR_CHARS = 100_000  # of what is looked through for a class and a message

_RAISED = re.compile(r"([A-Za-z_][\w.]*)(?::\s|$)")
_REPR = re.compile(r"([A-Za-z_]\w*)\((.*)\)", re.DOTALL)
_CANCELLED = re.compile(r"Cancelled(Error)?\(")

Data = dict[str, Any]


def error(found: Any, severity: str = "error") -> Data:
    """An ``EvalError`` as ``{type, message, severity, traceback}``."""
    message = str(found.message)[:_MAX_ERROR_CHARS]
    traceback = str(found.traceback)[-_MAX_ERROR_CHARS:]
    # The end of a traceback is what was raised and where; its head is the runner's own frames.
    shown = text(traceback[-MAX_TRACEBACK_CHARS:], MAX_TRACEBACK_CHARS)
    return {
        "type": _error_type(message, traceback),
        "message": _error_message(message),
        "severity": severity,
        "traceback": shown,
    }


def exception(raised: BaseException) -> Data:
    """An exception as ``{type, message, severity}``."""
    return {"type": type(raised).__name__, "message": text(raised), "severity": "error"}


def cancelled(what: str) -> Data:
    """The error of something that was stopped rather than failed."""
    return {"type": "Cancelled", "message": what, "severity": "warning"}


def is_cancellation(found: Any) -> bool:
    """Whether an ``EvalError`` only says that the work was called off.

    Inspect logs such a sample with the repr of its async library's exception as the message.
    """
    return found is not None and _CANCELLED.match(str(found.message)) is not None


def started(spec: Any, total: int) -> Data:
    """An ``EvalSpec`` as the data of ``evaluation.started``."""
    return {
        "eval_id": spec.eval_id,
        "task": text(spec.task, 200),
        "model": text(spec.model, 200),
        "total": total,
        "task_id": spec.task_id,
        "run_id": spec.run_id,
        "eval_set_id": spec.eval_set_id,
        "dataset": spec.dataset.name and text(spec.dataset.name, 200),
        "samples": len(spec.dataset.sample_ids or ()) or spec.dataset.samples,
        "epochs": spec.config.epochs or 1,
        "solver": spec.solver and text(spec.solver, 200),
        "tags": plain(spec.tags or []),
    }


def planned_total(spec: Any) -> int:
    """How many samples the task will run: the chosen ones times epochs."""
    chosen = len(spec.dataset.sample_ids or ()) or spec.dataset.samples or 0
    return int(chosen) * int(spec.config.epochs or 1)


def sample(found: Any) -> Data:
    """An ``EvalSample`` that ended well, as the data of ``evaluation.sample.completed``."""
    return {
        "sample_id": plain(found.id),
        "epoch": found.epoch,
        "uuid": found.uuid,
        "scores": plain({name: score.value for name, score in (found.scores or {}).items()}),
        "failed_attempts": len(found.error_retries or ()),
        "limit": found.limit and found.limit.type,
        "duration_s": plain(found.total_time),
        "tokens": sum(usage.total_tokens for usage in found.model_usage.values()),
    }


def result(log: Any, errors: int) -> Data:
    """A finished ``EvalLog`` as the result of an evaluation.

    ``{"metrics": {"scorer/metric": number}, "samples": {"total", "completed", "errors"},
    "tokens": {model: number}, "duration_s"}``; a metric that is not a number is text.
    """
    results = log.results
    return {
        "metrics": dict(islice(_metrics(results), MAX_METRICS)) if results is not None else {},
        "samples": {
            "total": results.total_samples if results is not None else None,
            "completed": results.completed_samples if results is not None else None,
            "errors": errors,
        },
        "tokens": {
            text(model, 200): usage.total_tokens
            for model, usage in list(log.stats.model_usage.items())[:MAX_ITEMS]
        },
        "duration_s": _seconds(log.stats.started_at, log.stats.completed_at),
    }


def log_file(location: str, eval_id: str) -> Data | None:
    """The data of ``storage.file.created`` for a log; None when there is no such file."""
    if "://" in location and not location.startswith("file://"):
        size = None  # in some cloud: asking for its size could take long
    else:
        file = Path(location.removeprefix("file://"))
        if not file.exists():
            return None
        size = file.stat().st_size
    data: Data = {"path": text(location), "eval_id": eval_id, "kind": "inspect-log"}
    return data if size is None else {**data, "bytes": size}


def _metrics(results: Any) -> Iterator[tuple[str, Any]]:
    for score in results.scores[:MAX_ITEMS]:
        prefix = score.name if score.reducer in (None, "mean") else f"{score.name}/{score.reducer}"
        for name, metric in list(score.metrics.items())[:MAX_ITEMS]:
            yield text(f"{prefix}/{name}", 200), plain(metric.value)


def _seconds(started_at: str, completed_at: str) -> float | None:
    if not started_at or not completed_at:
        return None
    span = datetime.fromisoformat(completed_at) - datetime.fromisoformat(started_at)
    return span.total_seconds()


def _error_type(message: str, traceback: str) -> str:
    last = next((line for line in reversed(traceback.splitlines()) if line.strip()), "")
    for found in (_RAISED.match(last), _REPR.match(message)):
        if found is not None:
            return text(found[1].rpartition(".")[2], 200)
    return "Error"


def _error_message(message: str) -> str:
    """Without the repr around it that Inspect gives to exceptions with a single text."""
    found = _REPR.fullmatch(message)
    if found is not None:
        try:
            argument = ast.literal_eval(found[2])
        except (ValueError, SyntaxError, MemoryError, RecursionError):
            argument = None  # several arguments, or none that are plain
        if isinstance(argument, str):
            return text(argument)
    return text(message)
