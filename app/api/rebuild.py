"""Rebuilding the read models from the log, or checking them against it, while the server runs."""

from __future__ import annotations

from flask import Blueprint, Response

from app.api.alerts import by
from app.api.answers.system import Rebuild
from app.api.common import BY
from app.api.shapes import answer
from app.openapi import kinds
from app.openapi.fields import Body, Field
from app.openapi.operation import operation
from app.problems import ProblemError
from app.runtime import runtime
from eventbus.errors import RebuildError

_CHECK = Field("check", kinds.flag(), "Only compare; nothing is changed.", default=False)
_BODY = Body((_CHECK, BY), {"check": {"check": True, "by": "ann"}, "rebuild": {"by": "ann"}})
_STOP = Body((BY,), {"by ann": {"by": "ann"}})

blueprint = Blueprint("rebuild", __name__)


@blueprint.get("/rebuild")
@operation("getRebuild", "Operations", answers={200: Rebuild})
def progress() -> Response:
    """How far the rebuild or check is that runs or ran last; null before the first one.

    Any process of a log that several share answers, whichever runs it.
    """
    return answer({"rebuild": runtime().rebuilds.progress})


@blueprint.post("/rebuild")
@operation(
    "startRebuild", "Operations", body=_BODY, answers={202: Rebuild},
    problems={409: "One is under way."},
)  # fmt: skip
def start() -> Response:
    """Begin one; with ``{"check": true}`` nothing is changed. 409 when one is under way."""
    body = _BODY.read()
    try:
        began = runtime().rebuilds.start(is_check=body["check"], by=by(body)["by"])
    except RebuildError as error:
        raise ProblemError(409, "Conflict", str(error)) from None
    return answer({"rebuild": began}, 202)


@blueprint.post("/rebuild/stop")
@operation("stopRebuild", "Operations", body=_STOP, answers={200: Rebuild, 202: Rebuild})
def stop() -> Response:
    """End the one that runs, in whichever process; 202 while it still does, 200 when none runs.

    What one that has ended did stays as it is, and so does what was not replaced.
    """
    found = runtime().rebuilds.stop(by(_STOP.read())["by"])
    is_over = found is None or found["finished_at"] is not None
    return answer({"rebuild": found}, 200 if is_over else 202)
