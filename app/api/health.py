"""Is the process alive, and can it do its work: for load balancers and containers."""

from __future__ import annotations

from contextlib import suppress
from typing import Any

from flask import Blueprint, Response

from app.api.answers.system import Alive, NotWell, Ready
from app.api.shapes import answer
from app.openapi.operation import Media, operation
from app.problems import PROBLEM_CONTENT_TYPE, RETRY_AFTER_S
from app.runtime import Runtime, runtime
from eventbus.errors import LogReadError
from eventbus.trouble import Trouble

# What no waiting heals, but a restart does: a dead thread.
_NEEDS_RESTART = ("writer", "dispatcher")

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
    """200 when the log can be read and written and events are delivered; else why not."""
    parts = runtime()
    bus = parts.bus
    with suppress(LogReadError), bus.log.reading() as conn:  # it is among the reasons then
        bus.log.storage.try_read(conn)
    reasons = bus.troubles()
    if reasons:
        return _not("ready", reasons, integrity=_integrity(parts))
    return answer(
        {"status": "ready", "sequence": bus.log.last_sequence, "integrity": _integrity(parts)}
    )


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
