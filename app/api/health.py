"""Is the process alive, and can it do its work: for load balancers and containers."""

from __future__ import annotations

from flask import Blueprint, Response

from app.api.shapes import answer
from app.runtime import runtime

blueprint = Blueprint("health", __name__)


@blueprint.get("/healthz")
def healthz() -> Response:
    """200 as long as the process answers."""
    return answer({"status": "ok"})


@blueprint.get("/readyz")
def readyz() -> Response:
    """200 when the log is open and can be read; else the problem document says why not."""
    bus = runtime().bus
    with bus.log.reading():
        return answer({"status": "ready", "sequence": bus.log.last_sequence})
