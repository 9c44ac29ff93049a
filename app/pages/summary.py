"""What an event's payload says, in one line for lists."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from app.pages.times import span
from eventbus.event import Event

MAX_CHARS = 180
_MAX_BYTES = 32_768  # a larger payload is not parsed for the sake of one line


def summarize(event: Event) -> str:
    """One line of at most 180 characters that says what is in the payload, without its subject."""
    if event.is_stripped:
        return "payload removed by retention"
    if len(event.data_json) > _MAX_BYTES:
        return f"{len(event.data_json) // 1024} KiB of data"
    data = event.data
    parts = _known(event.type, data) or _pairs(data, event.subject)
    return clip(" · ".join(part for part in parts if part), MAX_CHARS)


def error_line(error: Any) -> str:
    """An error as events carry it (text, or an object with type and message), in one line."""
    if isinstance(error, Mapping):
        kind = error.get("type") or error.get("error_type") or ""
        message = error.get("message") or error.get("detail") or ""
        text = ": ".join(_text(part) for part in (kind, message) if part not in ("", None))
        return clip(text or _text(error), MAX_CHARS)
    return clip(_text(error), MAX_CHARS) if error is not None else ""


def error_message(error: Any) -> str:
    """The error without its type, where that is shown beside it."""
    if isinstance(error, Mapping) and isinstance(error.get("message"), str) and error["message"]:
        return clip(error["message"], MAX_CHARS)
    return error_line(error)


def size(count: Any) -> str:
    """Bytes for people: ``512 B``, ``1.5 KiB``, ``12.0 MiB``."""
    if not isinstance(count, int | float) or isinstance(count, bool):
        return _text(count)
    if abs(count) < 1024:
        return f"{count:g} B"
    value = float(count)
    for unit in ("KiB", "MiB", "GiB"):
        value /= 1024
        if abs(value) < 1024:
            return f"{value:.1f} {unit}"
    return f"{value / 1024:.1f} TiB"


def clip(text: str, limit: int) -> str:
    """One line of at most ``limit`` characters, with an ellipsis when something was cut."""
    line = " ".join(text[: limit * 4].split())
    return line if len(line) <= limit else line[: limit - 1].rstrip() + "…"


def _known(event_type: str, data: Mapping[str, Any]) -> list[str]:
    """What matters for the types that the built-in handlers know; empty for others."""
    if event_type.startswith("evaluation.sample."):
        return _sample(data)
    if data.get("error") not in (None, "", {}):
        service = _text(data.get("service") or "") if event_type.startswith("alert.") else ""
        return [service, error_line(data["error"]), _attempt(data)]
    if event_type.startswith("alert.") and "alert_id" in data:
        mode = {"1h": "for 1 h", "24h": "for 24 h", "worse": "until it gets worse"}
        how = mode.get(str(data.get("mode"))) or ""
        return [" ".join(part for part in (how, f"by {_text(data.get('by'))}") if part)]
    if event_type.endswith(".progress") and "done" in data:
        total = f" of {_text(data['total'])}" if "total" in data else ""
        errors = f"{_text(data['errors'])} with errors" if data.get("errors") else ""
        return [f"{_text(data['done'])}{total} done", errors]
    if event_type == "monitoring.metric.recorded":
        name = _text(data.get("metric", data.get("name", "?")))
        return [f"{name} = {_text(data.get('value'))} {_text(data.get('unit', ''))}".rstrip()]
    if event_type == "monitoring.metric.incremented":
        return [f"{_text(data.get('metric', '?'))} {_change(data.get('by', 1))}"]
    if event_type == "evaluation.started":
        total = f"{_text(data['total'])} samples" if "total" in data else ""
        named = [_text(data.get(name) or "") for name in ("task", "model")]
        return [*named, total, _attempt(data)]
    if event_type == "evaluation.completed" and isinstance(data.get("result"), Mapping):
        return _leaves(data["result"])[:6]
    if event_type == "evaluation.retry" and "retry_count" in data:
        return [f"asks for {_attempt(data)}"]
    if event_type == "evaluation.retry_scheduled" and "retry_count" in data:
        return [_attempt(data), f"at {_text(data.get('at', '?'))}"]
    if event_type == "evaluation.stalled" and isinstance(data.get("bound_s"), int | float):
        return [f"silent for longer than {span(data['bound_s'] * 1000)}"]
    if event_type.startswith("storage.file."):
        count = data.get("bytes", data.get("size"))
        return [_text(data.get("path", "?")), size(count) if count is not None else ""]
    if event_type.startswith("queue.task."):
        return [_text(data.get("queue", "default")), _text(data.get("task_id", ""))]
    return []


def _sample(data: Mapping[str, Any]) -> list[str]:
    took = data.get("duration_s")
    scores = data.get("scores")
    return [
        f"sample {_text(data['sample_id'])}" if "sample_id" in data else "",
        error_line(data.get("error")),
        *(_leaves(scores) if isinstance(scores, Mapping) else []),
        span(took * 1000) if isinstance(took, int | float) else "",
    ]


def _leaves(data: Mapping[str, Any], depth: int = 3) -> list[str]:
    """``name value`` for each scalar in a nested object, in its order."""
    found: list[str] = []
    for name, value in data.items():
        if isinstance(value, Mapping) and depth > 1:
            found += _leaves(value, depth - 1)
        else:
            found.append(f"{_text(name)} {_scalar(value)}")
    return found


def _attempt(data: Mapping[str, Any]) -> str:
    """Which attempt, when it is not the first one: the word that all pages use for a retry."""
    count = data.get("retry_count")
    if isinstance(count, int) and not isinstance(count, bool):
        return f"attempt {count + 1}" if count else ""
    return f"retry {_text(count)}" if count else ""


def _change(by: Any) -> str:
    """What is added, with a sign as wide as the plus."""
    if isinstance(by, bool) or not isinstance(by, int | float):
        return _text(by)
    return f"{'−' if by < 0 else '+'}{_text(abs(by))}"


def _pairs(data: Mapping[str, Any], subject: str) -> list[str]:
    """``name value`` for each member, the ones that repeat the subject left out."""
    return [
        f"{_text(name)}: {_text(value)}" for name, value in list(data.items())[:12]
        if value != subject and name != "timestamp"  # both stand in the row already
    ]  # fmt: skip


def _text(value: Any) -> str:
    if isinstance(value, str):
        return value[:400]
    if isinstance(value, bool) or value is None:
        return {True: "true", False: "false", None: "null"}[value]
    if isinstance(value, float):
        return f"{value:.6g}"
    if isinstance(value, Mapping):
        inside = ", ".join(f"{_text(k)}: {_scalar(v)}" for k, v in list(value.items())[:4])
        return f"{{{inside}{', …' if len(value) > 4 else ''}}}"
    if isinstance(value, list):
        inside = ", ".join(_scalar(v) for v in value[:4])
        return f"[{inside}{', …' if len(value) > 4 else ''}]"
    return str(value)


def _scalar(value: Any) -> str:
    return "…" if isinstance(value, Mapping | list) else _text(value)
