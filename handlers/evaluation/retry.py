"""The events that ask for a retry; each retry of an evaluation is asked for once, by whomever."""

from __future__ import annotations

from eventbus.ids import derived_id

RETRY = "evaluation.retry"
RETRY_SCHEDULED = "evaluation.retry_scheduled"
RETRY_SOURCE = "/handlers/evaluation"


def retry_id(first_sequence: int, eval_id: str, retry_count: int) -> str:
    """The id of the retry that begins attempt ``retry_count`` + 1, made of what the row knows.

    Each evaluation of a log has a first sequence of its own, and each number is asked for once:
    the handler's retry, a scheduled one and a person's have the same id and RETRY_SOURCE, so that
    the bus records the first of them and takes the others for duplicates.
    """
    return derived_id(str(first_sequence), eval_id, RETRY, retry_count)
