"""The counters of the header."""

from __future__ import annotations

from flask import Blueprint, Response

from app.api.shapes import answer
from app.runtime import runtime
from app.travel import asked

blueprint = Blueprint("stats", __name__)


@blueprint.get("/stats")
def stats() -> Response:
    """Position of the log, events per second, and what the handlers count; now or ``at`` a time.

    Of the past, dead letters are null: the log does not tell when they were some.
    """
    parts = runtime()
    with asked() as (handlers, moment):
        counters = handlers.counters()
    if moment is not None:
        return answer({
            "sequence": moment.position,
            "at": moment.at,
            "rate": moment.rate,
            "counters": counters,
        })  # fmt: skip
    return answer(
        {
            "sequence": parts.bus.log.last_sequence,
            "rate": parts.hub.rate(),
            "counters": counters,
        }
    )
