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
from app.rebuilds import described
from app.runtime import runtime
from eventbus.errors import RebuildError

_CHECK = Field("check", kinds.flag(), "Only compare; nothing is changed.", default=False)
_BODY = Body((_CHECK, BY), {"check": {"check": True, "by": "ann"}, "rebuild": {"by": "ann"}})

blueprint = Blueprint("rebuild", __name__)


@blueprint.get("/rebuild")
@operation("getRebuild", "Operations", answers={200: Rebuild})
def progress() -> Response:
    """How far the rebuild or check is that runs or ran last; null before the first one."""
    found = runtime().rebuilds.progress
    return answer({"rebuild": None if found is None else described(found)})


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
    return answer({"rebuild": described(began)}, 202)
