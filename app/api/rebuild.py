"""Rebuilding the read models from the log, or checking them against it, while the server runs."""

from __future__ import annotations

from flask import Blueprint, Response

from app.api import parameters
from app.api.alerts import by
from app.api.shapes import answer
from app.problems import ProblemError
from app.rebuilds import described
from app.runtime import runtime
from eventbus.errors import RebuildError
from eventbus.validation import shown

blueprint = Blueprint("rebuild", __name__)


@blueprint.get("/rebuild")
def progress() -> Response:
    """How far the rebuild or check is that runs or ran last; null before the first one."""
    found = runtime().rebuilds.progress
    return answer({"rebuild": None if found is None else described(found)})


@blueprint.post("/rebuild")
def start() -> Response:
    """Begin one; with ``{"check": true}`` nothing is changed. 409 when one is under way."""
    body = parameters.body_object()
    is_check = body.get("check", False)
    if not isinstance(is_check, bool):
        detail = f"must be true or false, not {shown(is_check)}"
        raise ProblemError(
            400, "Wrong body", f"check {detail}", [{"pointer": "/check", "detail": detail}]
        )
    try:
        began = runtime().rebuilds.start(is_check=is_check, by=by(body)["by"])
    except RebuildError as error:
        raise ProblemError(409, "Conflict", str(error)) from None
    return answer({"rebuild": described(began)}, 202)
