"""The counters of the header."""

from __future__ import annotations

from flask import Blueprint, Response

from app.api.answers.system import Stats
from app.api.common import AT
from app.api.shapes import answer
from app.openapi.operation import operation
from app.runtime import runtime
from app.travel import asked

blueprint = Blueprint("stats", __name__)


@blueprint.get("/stats")
@operation(
    "getStats", "Figures", query=(AT,), answers={200: Stats},
    problems={410: "That time is not kept."},
)  # fmt: skip
def stats() -> Response:
    """Position of the log, events per second, and what the handlers count; now or ``at`` a time.

    Of the past, dead letters are null where retention has removed what operations did since, or
    where these changed more than 100,000.
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
