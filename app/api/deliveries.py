"""Events at subscriptions, by state and condition, and what people do to many of them at once."""

from __future__ import annotations

from typing import Any

from flask import Blueprint, Response

from app.api import selections
from app.api.alerts import by
from app.api.answers.work import (
    DeadLetterGroups,
    DeliveryCounts,
    DeliveryPage,
    OperationPreview,
    Retried,
)
from app.api.common import CURSOR, ERROR_CLASS, LIMIT, SINCE, SUBSCRIPTION, TYPE, UNTIL
from app.api.shapes import answer, page, record
from app.openapi import kinds
from app.openapi.fields import Field
from app.openapi.operation import operation
from app.problems import ProblemError
from app.runtime import runtime
from eventbus.log import Operation, Selection
from eventbus.operations import Preview

STATES = ("pending", "running", "retrying", "dead", "discarded", "cancelled")

_TAG = "Deliveries"
_STATE = Field("state", kinds.choice(STATES), "Deliveries in this state.", default="dead")
_BEGUN = {"Location": "Where the operation tells how far it is, with 202."}
_REFUSED = {409: "It is not possible for this subscription."}

blueprint = Blueprint("deliveries", __name__)


@blueprint.get("/deliveries")
@operation(
    "listDeliveries", _TAG,
    query=(_STATE, TYPE, SUBSCRIPTION, ERROR_CLASS, SINCE, UNTIL, LIMIT, CURSOR),
    answers={200: DeliveryPage},
)  # fmt: skip
def deliveries() -> Response:
    """One page of deliveries in a state (dead when not said), newest first.

    ``type``, ``subscription``, ``error_class``, ``since`` and ``until`` (when the last attempt
    ended) narrow it. A page may be short, even empty, and have a ``next``.
    """
    selection = Selection(
        pattern=TYPE.read(),
        subscription=SUBSCRIPTION.read(),
        error_class=ERROR_CLASS.read(),
        since=SINCE.read(),
        until=UNTIL.read(),
    )
    found = runtime().bus.log.list_deliveries(
        _STATE.read(),
        LIMIT.read(),
        cursor=CURSOR.read(),
        selection=selection,
    )
    return page("deliveries", found.deliveries, found.next)


@blueprint.get("/deliveries/counts")
@operation("countDeliveries", _TAG, answers={200: DeliveryCounts})
def counts() -> Response:
    """How many deliveries are unfinished, by state."""
    return answer({"counts": runtime().bus.log.delivery_counts()})


@blueprint.get("/deliveries/groups")
@operation(
    "groupDeadLetters", _TAG, query=(TYPE, SUBSCRIPTION, ERROR_CLASS),
    answers={200: DeadLetterGroups},
)  # fmt: skip
def groups() -> Response:
    """How many dead letters there are, by subscription, type and error, the largest first."""
    selection = Selection(
        pattern=TYPE.read(), subscription=SUBSCRIPTION.read(), error_class=ERROR_CLASS.read()
    )
    found = runtime().bus.log.dead_letters.counts(selection)
    return answer({"groups": [
        {name: value for name, value in record(group).items() if name != "subscription_id"}
        for group in found
    ]})  # fmt: skip


@blueprint.post("/deliveries/retry")
@operation("retryDeliveries", _TAG, body=selections.RETRIED, answers={202: Retried})
def retry() -> Response:
    """Begin the next attempt of single ``deliveries`` that wait for a retry, at once."""
    body = selections.RETRIED.read()
    wanted = selections.keys(body["deliveries"])
    begun = runtime().bus.operations.retry_now(wanted, by(body)["by"])
    return answer({"retried": len(begun), "deliveries": [
        {"sequence": sequence, "subscription": name} for sequence, name in begun
    ]}, 202)  # fmt: skip


@blueprint.post("/deliveries/redrive")
@operation(
    "redriveDeliveries", _TAG, body=selections.SELECTED,
    answers={200: OperationPreview, 202: Operation}, problems=_REFUSED, headers=_BEGUN,
)  # fmt: skip
def redrive() -> Response:
    """Deliver dead letters again: single ``deliveries``, or all that fit a ``filter``."""
    body = selections.SELECTED.read()
    selection, reason = selections.selection(body), body["reason"]
    operations, who = runtime().bus.operations, by(body)["by"]
    preview = operations.preview("redrive", selection)
    if selection.subscription is not None and selection.subscription in preview.excluded:
        raise ProblemError(
            409,
            "Nobody is subscribed",
            f"{selection.subscription!r} was unsubscribed; its dead letters can be redriven when "
            "somebody subscribes under that name again, or be discarded",
        )
    if body["dry_run"]:
        return _preview(preview)
    return _begun(operations.redrive(selection, who, reason))


@blueprint.post("/deliveries/discard")
@operation(
    "discardDeliveries", _TAG, body=selections.DISCARDED,
    answers={200: OperationPreview, 202: Operation}, problems=_REFUSED, headers=_BEGUN,
)  # fmt: skip
def discard() -> Response:
    """Give dead letters up for good, for a ``reason``; selected as for a redrive."""
    body = selections.DISCARDED.read()
    selection = selections.selection(body)
    operations, who = runtime().bus.operations, by(body)["by"]
    if body["dry_run"]:
        return _preview(operations.preview("discard", selection))
    return _begun(operations.discard(selection, who, selections.needed_reason(body)))


@blueprint.post("/deliveries/replay")
@operation(
    "replayEvents", _TAG, body=selections.REPLAYED,
    answers={200: OperationPreview, 202: Operation}, problems=_REFUSED, headers=_BEGUN,
)  # fmt: skip
def replay() -> Response:
    """Deliver recorded events again to one ``subscription``."""
    body = selections.REPLAYED.read()
    replayed, who = selections.replayed(body), by(body)["by"]
    operations = runtime().bus.operations
    if body["dry_run"]:
        return _preview(operations.preview_replay(replayed))
    return _begun(operations.replay(replayed, who, body["reason"], body["rate"]))


def _preview(preview: Preview) -> Response:
    counts: dict[str, Any] = record(preview)
    return answer({"dry_run": True, **counts})


def _begun(operation: Operation) -> Response:
    response = answer(operation, 202)
    response.headers["Location"] = f"/api/operations/{operation.id}"
    return response
