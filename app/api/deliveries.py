"""Events at subscriptions, by state and condition, and what people do to many of them at once."""

from __future__ import annotations

from typing import Any

from flask import Blueprint, Response

from app.api import parameters, selections
from app.api.alerts import by
from app.api.shapes import answer, page, record
from app.problems import ProblemError
from app.runtime import runtime
from eventbus.log import Operation, Selection
from eventbus.operations import Preview

STATES = ("pending", "running", "retrying", "dead", "discarded", "cancelled")

blueprint = Blueprint("deliveries", __name__)


@blueprint.get("/deliveries")
def deliveries() -> Response:
    """One page of deliveries in a state (dead when not said), newest first.

    ``type``, ``subscription``, ``error_class``, ``since`` and ``until`` (when the last attempt
    ended) narrow it. A page may be short, even empty, and have a ``next``.
    """
    selection = Selection(
        pattern=parameters.pattern("type"),
        subscription=parameters.text("subscription"),
        error_class=parameters.text("error_class"),
        since=parameters.time("since"),
        until=parameters.time("until"),
    )
    found = runtime().bus.log.list_deliveries(
        parameters.choice("state", STATES, default="dead"),
        parameters.limit(),
        cursor=parameters.text("cursor"),
        selection=selection,
    )
    return page("deliveries", found.deliveries, found.next)


@blueprint.get("/deliveries/counts")
def counts() -> Response:
    """How many deliveries are unfinished, by state."""
    return answer({"counts": runtime().bus.log.delivery_counts()})


@blueprint.get("/deliveries/groups")
def groups() -> Response:
    """How many dead letters there are, by subscription, type and error, the largest first."""
    selection = Selection(
        pattern=parameters.pattern("type"),
        subscription=parameters.text("subscription"),
        error_class=parameters.text("error_class"),
    )
    found = runtime().bus.log.dead_letters.counts(selection)
    return answer({"groups": [
        {name: value for name, value in record(group).items() if name != "subscription_id"}
        for group in found
    ]})  # fmt: skip


@blueprint.post("/deliveries/retry")
def retry() -> Response:
    """Begin the next attempt of single ``deliveries`` that wait for a retry, at once."""
    body = parameters.body_object(selections.MAX_BODY_BYTES)
    wanted = selections.selection(body).deliveries
    if wanted is None:
        detail = "is needed: an array of deliveries, each with sequence and subscription"
        raise ProblemError(400, "Wrong body", f"deliveries: {detail}",
                           [{"pointer": "/deliveries", "detail": detail}])  # fmt: skip
    begun = runtime().bus.operations.retry_now(wanted, by(body)["by"])
    return answer({"retried": len(begun), "deliveries": [
        {"sequence": sequence, "subscription": name} for sequence, name in begun
    ]}, 202)  # fmt: skip


@blueprint.post("/deliveries/redrive")
def redrive() -> Response:
    """Deliver dead letters again: single ``deliveries``, or all that fit a ``filter``."""
    body = parameters.body_object(selections.MAX_BODY_BYTES)
    selection, reason = selections.selection(body), selections.reason(body)
    operations, who = runtime().bus.operations, by(body)["by"]
    preview = operations.preview("redrive", selection)
    if selection.subscription is not None and selection.subscription in preview.excluded:
        raise ProblemError(
            409,
            "Nobody is subscribed",
            f"{selection.subscription!r} was unsubscribed; its dead letters can be redriven when "
            "somebody subscribes under that name again, or be discarded",
        )
    if selections.dry_run(body):
        return _preview(preview)
    return _begun(operations.redrive(selection, who, reason))


@blueprint.post("/deliveries/discard")
def discard() -> Response:
    """Give dead letters up for good, for a ``reason``; selected as for a redrive."""
    body = parameters.body_object(selections.MAX_BODY_BYTES)
    selection, is_dry_run = selections.selection(body), selections.dry_run(body)
    operations, who = runtime().bus.operations, by(body)["by"]
    if is_dry_run:
        return _preview(operations.preview("discard", selection))
    reason = selections.reason(body, is_needed=True) or ""
    return _begun(operations.discard(selection, who, reason))


@blueprint.post("/deliveries/replay")
def replay() -> Response:
    """Deliver recorded events again to one ``subscription``."""
    body = parameters.body_object()
    replayed, rate = selections.replayed(body)
    reason, who = selections.reason(body), by(body)["by"]
    operations = runtime().bus.operations
    if selections.dry_run(body):
        return _preview(operations.preview_replay(replayed))
    return _begun(operations.replay(replayed, who, reason, rate))


def _preview(preview: Preview) -> Response:
    counts: dict[str, Any] = record(preview)
    return answer({"dry_run": True, **counts})


def _begun(operation: Operation) -> Response:
    response = answer(operation, 202)
    response.headers["Location"] = f"/api/operations/{operation.id}"
    return response
