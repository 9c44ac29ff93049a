"""What people ask of evaluations, to retry, cancel or dismiss: events like everyone else's."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from eventbus import EventBus
from eventbus.actor import signed
from eventbus.bus import Receipt
from eventbus.event import SPECVERSION
from eventbus.receipt import BatchReceipt
from eventbus.tracing import TRACESTATE, tracestate_of
from handlers.evaluation.evaluations import Evaluation
from handlers.evaluation.inbox_table import DISMISSED
from handlers.evaluation.retry import RETRY, RETRY_SOURCE, retry_id
from handlers.settings import MAX_ATTEMPT

CANCELLED = "evaluation.cancelled"
_MAY_BE_SCHEDULED = frozenset({"failed", "retrying"})


def why_not_retry(evaluation: Evaluation) -> str | None:
    """Why it cannot be retried now, as a sentence for people; None when it can."""
    match evaluation.state:
        case "completed":
            return "It has completed."
        case "active":
            return f"Attempt {evaluation.attempt} is running; cancel it first."
        case "retrying" if evaluation.retry_at is None:
            return f"Retry {evaluation.retry_count} has been asked for; it waits for its runner."
    if _retry_count(evaluation) >= MAX_ATTEMPT:
        return f"There are at most {MAX_ATTEMPT} attempts."
    return None


def can_be_retried(found: Iterable[Evaluation | None]) -> list[Evaluation]:
    """Those that are there and can be retried now."""
    return [each for each in found if each is not None and why_not_retry(each) is None]


def why_not_cancel(evaluation: Evaluation) -> str | None:
    """Why it cannot be cancelled, as a sentence for people; None when it can."""
    match evaluation.state:
        case "completed":
            return "It has completed."
        case "exhausted":
            return "It has ended: its retries are used up."
        case "cancelled":
            return "It is cancelled already."
    return None


def retry_now(bus: EventBus, evaluation: Evaluation, by: str) -> Receipt:
    """Ask for the next attempt now; one that is scheduled comes now and not again later.

    The event has the id that the handler would have given this retry (``retry_id``): whoever else
    asks for the same one, before or after, publishes a duplicate. Blocks for the commit.
    """
    return Receipt(retry_many(bus, [evaluation], by))


def retry_many(bus: EventBus, evaluations: Iterable[Evaluation], by: str) -> BatchReceipt:
    """As ``retry_now`` for several, which are asked for together. Blocks for the commit."""
    return bus.publish_many([asked_again(bus, each, by) for each in evaluations])


def asked_again(bus: EventBus, evaluation: Evaluation, by: str) -> dict[str, Any]:
    """The event that asks for its next attempt, to be published."""
    count = _retry_count(evaluation)
    id = retry_id(evaluation.first_sequence, evaluation.eval_id, count)
    asked: dict[str, Any] = {
        "type": RETRY, "id": id, "source": RETRY_SOURCE,
        "data": {"eval_id": evaluation.eval_id, "retry_count": count, **signed(by)},
    }  # fmt: skip
    if evaluation.state in _MAY_BE_SCHEDULED:
        for scheduled in bus.log.schedules.find(id, RETRY_SOURCE):
            # It stays in the chain of the failure that it was scheduled for.
            asked["correlationid"] = scheduled.correlationid
            if scheduled.causationid is not None:
                asked["causationid"] = scheduled.causationid
            if scheduled.traceparent is not None:
                asked["traceparent"] = scheduled.traceparent
            if (tracestate := tracestate_of(scheduled)) is not None:
                asked |= {"specversion": SPECVERSION, TRACESTATE: tracestate}
    return asked


def dismissed(eval_id: str, by: str, reason: str | None) -> dict[str, Any]:
    """The event that takes it out of the inbox, to be published."""
    return {"type": DISMISSED, "data": {"eval_id": eval_id, **signed(by), "reason": reason}}


def cancel(bus: EventBus, evaluation: Evaluation, by: str) -> Receipt:
    """Call it off, whatever attempt it is at. Blocks for the commit."""
    data = {"eval_id": evaluation.eval_id, **signed(by)}
    return bus.publish(CANCELLED, data, subject=evaluation.eval_id)


def _retry_count(evaluation: Evaluation) -> int:
    """The number of the retry that would come now: the one awaited, else of a new attempt."""
    return evaluation.retry_count if evaluation.state == "retrying" else evaluation.attempt
