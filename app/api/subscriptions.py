"""Who gets what and how far they are; pausing and resuming one, and its end."""

from __future__ import annotations

from flask import Blueprint, Response

from app.api.alerts import by
from app.api.answers.system import SubscriptionEnded, SubscriptionPaused, Subscriptions
from app.api.common import BY, REASON, SUBSCRIPTION_NAME
from app.api.shapes import answer, record
from app.openapi import kinds
from app.openapi.fields import Body, Field
from app.openapi.operation import operation
from app.problems import ProblemError, upgrade_required
from app.runtime import runtime
from eventbus.errors import SubscriptionError
from eventbus.statistics import SubscriptionStats

_TAG = "Subscriptions"
_END = Body((BY,), {"with a name": {"by": "ann"}})
_PAUSE = Body((BY, REASON), {"with a reason": {"by": "ann", "reason": "the report store moves"}})
_FORCE = Field(
    "force", kinds.flag(), "End it also while consumers or another process serve it.",
    default=False,
)  # fmt: skip
_PROBLEMS = {404: "No subscription has this name.", 409: "This one cannot."}

blueprint = Blueprint("subscriptions", __name__)


@blueprint.get("/subscriptions")
@operation("listSubscriptions", _TAG, answers={200: Subscriptions})
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
@operation(
    "endSubscription", _TAG, path=(SUBSCRIPTION_NAME,), query=(_FORCE,), body=_END,
    answers={200: SubscriptionEnded}, problems=_PROBLEMS,
)  # fmt: skip
def end(name: str) -> Response:
    """Forget a durable subscription that nothing serves: what it has not finished is cancelled.

    With ``force=true`` also one that consumers or another process of the bus serve; it is ended
    for all of them. What this process serves itself cannot be ended.
    """
    who = by(_END.read())["by"]
    found(name)
    try:
        event = runtime().consumers.forget(name, who, is_forced=_FORCE.read()).event
    except SubscriptionError as error:
        raise ProblemError(409, "Conflict", str(error)) from None
    return answer({"name": name, "event": {"id": event.id, "sequence": event.sequence}})


@blueprint.get("/subscriptions/<path:name>/consume")
def consume(name: str) -> Response:
    """For who asks for the WebSocket of that address as if it were a page."""
    raise upgrade_required()


@blueprint.post("/subscriptions/<path:name>/pause")
@operation(
    "pauseSubscription", _TAG, path=(SUBSCRIPTION_NAME,), body=_PAUSE,
    answers={200: SubscriptionPaused}, problems=_PROBLEMS,
)  # fmt: skip
def pause(name: str) -> Response:
    """Begin no more deliveries of a durable subscription; what comes stays pending."""
    return _set_paused(name, True)


@blueprint.post("/subscriptions/<path:name>/resume")
@operation(
    "resumeSubscription", _TAG, path=(SUBSCRIPTION_NAME,), body=_PAUSE,
    answers={200: SubscriptionPaused}, problems=_PROBLEMS,
)  # fmt: skip
def resume(name: str) -> Response:
    """Go on with what is pending."""
    return _set_paused(name, False)


def _set_paused(name: str, wanted: bool) -> Response:
    body = _PAUSE.read()
    who, reason = by(body)["by"], body["reason"]
    found(name)
    pauses = runtime().bus.pauses
    try:
        has_changed = (pauses.pause if wanted else pauses.resume)(name, who, reason)
    except SubscriptionError as error:
        raise ProblemError(409, "Not possible", f"{error}: only durable ones can wait") from None
    return answer({**record(found(name)), "changed": has_changed})


def found(name: str) -> SubscriptionStats:
    """A subscription by its name; raises the 404."""
    for stats in runtime().bus.subscriptions():
        if stats.name == name:
            return stats
    raise ProblemError(404, "Not Found", f"there is no subscription {name[:200]!r}")
