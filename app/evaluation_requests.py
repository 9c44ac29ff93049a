"""What a person asks of an evaluation, for page and API: each request is an event, with who."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from app.followed import followed
from app.problems import ProblemError
from app.runtime import runtime
from eventbus import Event, EventBus
from eventbus.bus import Receipt
from handlers.evaluation import Evaluation, EvaluationHandler, Evaluations
from handlers.evaluation.requests import cancel, retry_now, why_not_cancel, why_not_retry


@dataclass(frozen=True, slots=True)
class Request:
    """One of the things that can be asked: why it cannot be right now, and the asking."""

    why_not: Callable[[Evaluation], str | None]
    publish: Callable[[EventBus, Evaluation, str], Receipt]


REQUESTS: Mapping[str, Request] = {
    "retry": Request(why_not_retry, retry_now),
    "cancel": Request(why_not_cancel, cancel),
}


def named(eval_id: str, known: Evaluations | None = None) -> Evaluation:
    """The evaluation of that id, as ``known`` (by default the present) has it; raises the 404."""
    found = (known or runtime().handlers.evaluations).get(eval_id)
    if found is None:
        detail = f"no event has told of an evaluation {eval_id[:200]!r}"
        raise ProblemError(404, "No such evaluation", f"{detail} by then" if known else detail)
    return found


def ask(evaluation: Evaluation, action: str, by: str) -> tuple[Event, bool]:
    """Publish the request in the name of ``by``: its event, and whether the handlers took it in.

    Not within a moment is no error: it is recorded. Raises the 409 when it cannot be asked now.
    """
    request = REQUESTS[action]
    if reason := request.why_not(evaluation):
        raise ProblemError(409, "Conflict", f"evaluation {evaluation.eval_id[:200]!r}: {reason}")
    receipt = request.publish(runtime().bus, evaluation, by)
    return receipt.event, followed(receipt, EvaluationHandler.name)
