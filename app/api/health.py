"""Is the process alive, and can it do its work: for load balancers and containers."""

from __future__ import annotations

from contextlib import suppress
from typing import Any

from flask import Blueprint, Response

from app.api.answers.system import Alive, NotWell, Ready
from app.api.shapes import answer
from app.openapi.operation import Media, operation
from app.problems import PROBLEM_CONTENT_TYPE, RETRY_AFTER_S
from app.process import this_process
from app.runtime import Runtime, runtime
from eventbus.errors import LogReadError
from eventbus.trouble import PARTS, Part, Trouble

# What no waiting heals, but a restart does: a dead thread.
_NEEDS_RESTART = ("writer", "dispatcher")
_ASKED: dict[Part, str] = {
    "storage": "The log can be written and read.",
    "damage": "The database is whole, as far as it was read.",
    "writer": "The thread that commits is alive.",
    "loop": "The thread that delivers is alive, and no handler blocks it.",
    "dispatcher": "Delivering has met no error of its own.",
    "disk": "There is room on the disk, EVENTBUS_WARN_DISK_BYTES.",
    "lag": "No subscription is far behind, EVENTBUS_WARN_LAG_S.",
    "dead_letters": "Few deliveries became dead letters lately, EVENTBUS_WARN_DEAD_LETTERS.",
    "broker": "The message broker is connected, when there is one; see `broker`.",
}

_REASONS = Media({PROBLEM_CONTENT_TYPE: NotWell}, about="Not, and why.")

blueprint = Blueprint("health", __name__)


@blueprint.get("/healthz")
@operation("isAlive", "Health", answers={200: Alive, 503: _REASONS})
def healthz() -> Response:
    """200 as long as the process can do its work without a restart; a full disk is no reason."""
    reasons = [t for t in runtime().bus.troubles() if t.part in _NEEDS_RESTART]
    return _not("alive", reasons) if reasons else answer({"status": "ok"})


@blueprint.get("/readyz")
@operation("isReady", "Health", answers={200: Ready, 503: _REASONS})
def readyz() -> Response:
    """200 when the log can be read and written and events are delivered; else why not.

    ``checks`` names everything that was looked at: ``pass``, ``warn`` or ``fail``. A warning is
    no reason to send nothing here, so it does not change the status. ``process`` is the one that
    answers; of those that share a log all are ready, and one ``works``.
    """
    parts = runtime()
    bus = parts.bus
    with suppress(LogReadError), bus.log.reading() as conn:  # it is among the reasons then
        bus.log.storage.try_read(conn)
    troubles = bus.troubles()
    more: dict[str, Any] = {
        "process": this_process(bus), "checks": _checks(troubles), "integrity": _integrity(parts),
    }  # fmt: skip
    if parts.bridge is not None:
        more["broker"] = parts.bridge.status()
    reasons = [trouble for trouble in troubles if trouble.severity == "critical"]
    if reasons:
        return _not("ready", reasons, **more)
    return answer(
        {
            "status": "ready",
            "sequence": bus.log.last_sequence,
            "warnings": [trouble for trouble in troubles if trouble.severity == "warning"],
            **more,
        }
    )


def _checks(troubles: list[Trouble]) -> list[dict[str, Any]]:
    """Every part with what was asked of it and what the answer is."""
    checks = []
    for part in PARTS:
        own = [trouble for trouble in troubles if trouble.part == part]
        is_failed = any(trouble.severity == "critical" for trouble in own)
        checks.append({
            "part": part,
            "status": "fail" if is_failed else "warn" if own else "pass",
            "asked": _ASKED[part],
            "details": [trouble.detail for trouble in own],
        })  # fmt: skip
    return checks


def _integrity(parts: Runtime) -> dict[str, Any]:
    """What is known about the last start after a crash."""
    check = parts.start_check
    report = check.report
    if report is None:
        return {"state": check.state}
    return {
        "state": check.state,
        "kind": report.kind,
        "checked_at": report.checked_at,
        "duration_s": round(report.duration_s, 3),
        "problems": report.problems,
        "findings": report.findings,
    }


def _not(what: str, reasons: list[Trouble], **more: Any) -> Response:
    document = {
        "title": f"Not {what}",
        "status": 503,
        "detail": "; ".join(reason.detail for reason in reasons),
        "reasons": reasons,
        **more,
    }
    response = answer(document, 503)
    response.content_type = PROBLEM_CONTENT_TYPE
    response.headers["Retry-After"] = str(RETRY_AFTER_S)
    return response
