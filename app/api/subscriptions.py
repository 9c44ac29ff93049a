"""Who gets what, how far they are, and the end of a subscription that nobody here serves."""

from __future__ import annotations

from flask import Blueprint, Response

from app.api import parameters
from app.api.alerts import by
from app.api.shapes import answer, record
from app.problems import ProblemError
from app.runtime import runtime
from eventbus.errors import SubscriptionError

blueprint = Blueprint("subscriptions", __name__)


@blueprint.get("/subscriptions")
def subscriptions() -> Response:
    """Every subscription with its lag (matching events not yet finished) and durations.

    ``consumers`` counts the connections of other processes that serve it now.
    """
    parts = runtime()
    counts = parts.consumers.counts()
    found = [
        {**record(stats), "consumers": counts.get(stats.name, 0)}
        for stats in parts.bus.subscriptions()
    ]
    return answer({"subscriptions": found})


@blueprint.delete("/subscriptions/<path:name>")
def end(name: str) -> Response:
    """Forget a durable subscription: what it has not finished is cancelled."""
    who = by(parameters.body_object())
    parts = runtime()
    if all(stats.name != name for stats in parts.bus.subscriptions()):
        raise ProblemError(404, "Not Found", f"there is no subscription {name[:200]!r}")
    try:
        parts.consumers.forget(name)
    except SubscriptionError as error:
        raise ProblemError(409, "Conflict", str(error)) from None
    receipt = parts.bus.publish("subscription.ended", {"name": name, **who}, subject=name)
    event = receipt.event
    return answer({"name": name, "event": {"id": event.id, "sequence": event.sequence}})
