"""The counters of the header."""

from __future__ import annotations

from flask import Blueprint, Response

from app.api.shapes import answer
from app.runtime import runtime

blueprint = Blueprint("stats", __name__)


@blueprint.get("/stats")
def stats() -> Response:
    """Position of the log, events per second, and what the handlers count."""
    parts = runtime()
    return answer(
        {
            "sequence": parts.bus.log.last_sequence,
            "rate": parts.hub.rate(),
            "counters": parts.handlers.counters(),
        }
    )
