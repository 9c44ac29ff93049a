"""Operations: redrives, discards and replays, how far they are, and stopping them."""

from __future__ import annotations

from flask import Blueprint, Response

from app.api.alerts import by
from app.api.answers.work import OperationPage
from app.api.common import BY, CURSOR, LIMIT, OPERATION_ID
from app.api.shapes import answer, page
from app.openapi.fields import Body
from app.openapi.kinds import MAX_SEQUENCE
from app.openapi.operation import operation as declare
from app.problems import ProblemError
from app.runtime import runtime
from eventbus.log import Operation

_TAG = "Operations"
_BODY = Body((BY,), {"with a name": {"by": "ann"}})
_UNKNOWN = {404: "No operation has this id."}

blueprint = Blueprint("operations", __name__)


@blueprint.get("/operations")
@declare("listOperations", _TAG, query=(LIMIT, CURSOR), answers={200: OperationPage})
def operations() -> Response:
    """One page of operations, newest first."""
    found = runtime().bus.operations.list(LIMIT.read(), CURSOR.read())
    return page("operations", found.operations, found.next)


@blueprint.get("/operations/<int:operation_id>")
@declare("getOperation", _TAG, path=(OPERATION_ID,), answers={200: Operation}, problems=_UNKNOWN)
def operation(operation_id: int) -> Response:
    """One operation as it is now, with what has become of its deliveries."""
    found = runtime().bus.operations.get(_checked(operation_id))
    if found is None:
        raise _unknown(operation_id)
    return answer(found)


@blueprint.post("/operations/<int:operation_id>/stop")
@declare(
    "stopOperation", _TAG, path=(OPERATION_ID,), body=_BODY,
    answers={200: Operation, 202: Operation}, problems=_UNKNOWN,
)  # fmt: skip
def stop(operation_id: int) -> Response:
    """End an operation; what it did stays done. One that has ended stays as it is."""
    who = by(_BODY.read())["by"]
    found = runtime().bus.operations.stop(_checked(operation_id), who)
    if found is None:
        raise _unknown(operation_id)
    return answer(found, 202 if found.state == "running" else 200)


def _checked(operation_id: int) -> int:
    if operation_id > MAX_SEQUENCE:
        raise _unknown(operation_id)
    return operation_id


def _unknown(operation_id: int) -> ProblemError:
    return ProblemError(404, "Not Found", f"there is no operation {str(operation_id)[:100]}")
