"""Operations: redrives, discards and replays, how far they are, and stopping them."""

from __future__ import annotations

from flask import Blueprint, Response

from app.api import parameters
from app.api.alerts import by
from app.api.shapes import answer, page
from app.problems import ProblemError
from app.runtime import runtime

blueprint = Blueprint("operations", __name__)


@blueprint.get("/operations")
def operations() -> Response:
    """One page of operations, newest first."""
    found = runtime().bus.operations.list(parameters.limit(), parameters.text("cursor"))
    return page("operations", found.operations, found.next)


@blueprint.get("/operations/<int:operation_id>")
def operation(operation_id: int) -> Response:
    """One operation as it is now, with what has become of its deliveries."""
    found = runtime().bus.operations.get(_checked(operation_id))
    if found is None:
        raise _unknown(operation_id)
    return answer(found)


@blueprint.post("/operations/<int:operation_id>/stop")
def stop(operation_id: int) -> Response:
    """End an operation; what it did stays done. One that has ended stays as it is."""
    who = by(parameters.body_object())["by"]
    found = runtime().bus.operations.stop(_checked(operation_id), who)
    if found is None:
        raise _unknown(operation_id)
    return answer(found, 202 if found.state == "running" else 200)


def _checked(operation_id: int) -> int:
    if operation_id > parameters.MAX_SEQUENCE:
        raise _unknown(operation_id)
    return operation_id


def _unknown(operation_id: int) -> ProblemError:
    return ProblemError(404, "Not Found", f"there is no operation {str(operation_id)[:100]}")
