"""A failed attempt: as which kind of failure it is kept, and what the server's log says of it."""

from __future__ import annotations

import logging

from eventbus.errors import CrashedAttemptError, HandlerTimeoutError
from eventbus.lane import Job
from eventbus.log.values import AttemptOutcome

logger = logging.getLogger("eventbus.dispatcher")

_LOGGED_CHARS = 2_000  # of a payload, where payloads are logged at all


def kind_of(error: BaseException) -> AttemptOutcome:
    """As what an attempt that ended so is kept."""
    if isinstance(error, CrashedAttemptError):
        return "crashed"
    return "timeout" if isinstance(error, HandlerTimeoutError) else "failed"


def log_failure(
    job: Job, error_class: str, message: str, *, is_dead: bool, has_payload: bool
) -> None:
    """Tell of an attempt that has failed, and is not counted in ``job`` yet."""
    event, subscription = job.event, job.lane.subscription
    number = job.attempt + 1
    logger.log(
        logging.ERROR if is_dead else logging.WARNING,
        "%s failed for %s event %s, attempt %d of %d, %s: %s: %s",
        subscription.name, event.type, event.id, number, subscription.policy.max_attempts,
        "dead letter" if is_dead else "will be retried", error_class, message,
        extra={
            "event_id": event.id, "correlation_id": event.correlationid,
            "subscription": subscription.name, "attempt": number,
            "payload": event.data_json[:_LOGGED_CHARS] if has_payload else None,
        },
    )  # fmt: skip
