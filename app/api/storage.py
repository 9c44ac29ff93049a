"""The room that the log takes, and what makes it less: retention."""

from __future__ import annotations

from typing import Any

from flask import Blueprint, Response

from app.api.alerts import by
from app.api.answers.system import RetentionPreview, RetentionStarted, Storage
from app.api.common import BY, DRY_RUN
from app.api.shapes import answer, record
from app.openapi.fields import Body
from app.openapi.operation import operation
from app.problems import ProblemError
from app.retention import Retentions, described
from app.runtime import runtime
from eventbus.errors import RetentionError
from eventbus.retention.forecast import measure

_BODY = Body((DRY_RUN, BY), {"preview": {"dry_run": True}, "run": {"by": "ann"}})

blueprint = Blueprint("storage", __name__)


@blueprint.get("/storage")
@operation("getStorage", "Storage", answers={200: Storage})
def storage() -> Response:
    """Sizes, the oldest event, growth, when the disk is full; retention; the search index."""
    parts = runtime()
    found = record(measure(parts.bus.log, parts.retentions.max_bytes, parts.bus.now()))
    found["growth_bytes_per_day"] = found.pop("growth_bytes")
    return answer(
        {**found, "retention": _state(parts.retentions), "search_index": parts.index.state()}
    )


@blueprint.post("/retention")
@operation(
    "runRetention", "Storage", body=_BODY,
    answers={200: RetentionPreview, 202: RetentionStarted}, problems={409: "A run is under way."},
)  # fmt: skip
def run() -> Response:
    """Begin a run; with ``{"dry_run": true}`` only say what would go. 409 while one runs."""
    body = _BODY.read()
    retentions = runtime().retentions
    if body["dry_run"]:
        found = retentions.preview()
        return answer(
            {
                "rules": described(found.rules),
                "held_back": found.held_back,
                "is_too_large": found.is_too_large,
            }
        )
    try:
        retentions.ask(by(body)["by"])
    except RetentionError as error:
        raise ProblemError(409, "Conflict", str(error)) from None
    return answer({"retention": _state(retentions)}, 202)


def _state(retentions: Retentions) -> dict[str, Any]:
    return {
        "rules": [rule.text for rule in retentions.rules.rules],
        "is_running": retentions.is_running,
        "last_run": retentions.last_run,
        "longest_hold_ms": round(retentions.longest_hold_ms, 3),
    }
