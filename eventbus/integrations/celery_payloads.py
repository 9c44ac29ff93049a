"""Celery's tasks as the data of queue events, as the server's queue handler reads them."""

from __future__ import annotations

import time
import traceback
from typing import Any

from eventbus.integrations.plain import plain, text

ADDED_HEADER = "eventbus_added"
CORRELATION_HEADER = "eventbus_correlationid"
QUEUE_HEADER = "eventbus_queue"
DEFAULT_QUEUE = "celery"
MAX_TRACEBACK_CHARS = 8_000


class Payloads:
    """``publishes_arguments`` says whether a task's arguments are nobody's secret."""

    def __init__(self, publishes_arguments: bool) -> None:
        self._publishes_arguments = publishes_arguments

    def added(self, name: str, headers: dict[str, Any], body: Any) -> dict[str, Any]:
        """A task that was sent to the broker (message protocol 2)."""
        args, kwargs = body[:2] if isinstance(body, tuple | list) and len(body) >= 2 else ((), {})
        data = self._task(name, headers.get("id"), headers[QUEUE_HEADER], headers.get("retries"))
        for field in ("eta", "expires", "root_id", "parent_id", "group"):
            if headers.get(field) is not None:
                data[field] = text(headers[field], 200)
        return self._with_arguments(data, args, kwargs)

    def of(self, name: str, request: Any) -> dict[str, Any]:
        """A task in a worker, with its runtime when it has begun."""
        delivery = getattr(request, "delivery_info", None) or {}
        queue = getattr(request, QUEUE_HEADER, None) or delivery.get("routing_key")
        data = self._task(name, request.id, queue, getattr(request, "retries", 0))
        if (worker := getattr(request, "hostname", None)) is not None:
            data["worker"] = text(worker, 200)
        if (began_s := getattr(request, "eventbus_began_s", None)) is not None:
            data["duration_s"] = round(time.monotonic() - began_s, 6)
        return self._with_arguments(
            data, getattr(request, "args", None), getattr(request, "kwargs", None)
        )

    def unknown(self, name: Any, id: Any, message: Any) -> dict[str, Any]:
        """A message for a task that a worker does not have."""
        headers = getattr(message, "headers", None) or {}
        delivery = getattr(message, "delivery_info", None) or {}
        queue = headers.get(QUEUE_HEADER) or delivery.get("routing_key")
        what = f"the worker that took it has no task {text(name, 200)}"
        error = {"type": "NotRegistered", "message": what, "severity": "error"}
        return {**self._task(str(name), id, queue, headers.get("retries")), "error": error}

    def error(self, raised: Any, einfo: Any) -> dict[str, Any]:
        """An exception, as events of failures have it."""
        trace = str(getattr(einfo, "traceback", "") or "")
        if not trace and isinstance(raised, BaseException):
            trace = "".join(traceback.format_exception(raised))
        return {
            "type": text(type(raised).__name__, 200),
            "message": text(raised),
            "severity": "error",
            "traceback": text(trace[-MAX_TRACEBACK_CHARS:], MAX_TRACEBACK_CHARS),
        }

    def called_off(self, terminated: bool, signum: Any, expired: bool) -> dict[str, Any]:
        """The error of a task that was stopped rather than failed."""
        if expired:
            kind, message = "Expired", "it was not begun before it expired"
        elif terminated:
            kind, message = "Terminated", f"its process was ended by {text(signum, 40)}"
        else:
            kind, message = "Revoked", "it was called off before it began"
        return {"type": kind, "message": message, "severity": "warning"}

    def _task(self, name: str, id: Any, queue: Any, retries: Any) -> dict[str, Any]:
        return {
            "task_id": text(id, 200),
            "task": text(name, 200),
            "queue": text(queue or DEFAULT_QUEUE, 200),
            "attempt": int(retries or 0) + 1,
        }

    def _with_arguments(self, data: dict[str, Any], args: Any, kwargs: Any) -> dict[str, Any]:
        if isinstance(kwargs, dict) and isinstance(kwargs.get("eval_id"), str):
            data["eval_id"] = text(kwargs["eval_id"], 200)
        if self._publishes_arguments:
            data["args"], data["kwargs"] = plain(list(args or ())), plain(kwargs or {})
        return data
