"""An operation that is to run, and one that runs."""

from __future__ import annotations

import threading
from dataclasses import dataclass

from eventbus.errors import OperationError
from eventbus.log.values import Operation
from eventbus.operation_steps import Steps


@dataclass(frozen=True, slots=True)
class Preview:
    """What an operation would do: ``total`` deliveries, by subscription.

    ``excluded`` are dead letters that cannot be redriven, because nobody is subscribed under
    their subscription's name any more; ``skipped`` of the total are left alone by a replay.
    """

    total: int
    subscriptions: dict[str, int]
    excluded: dict[str, int]
    skipped: int = 0


def check_rate(rate: float | None) -> float | None:
    """The same. Raises OperationError for what is no number a second above 0."""
    is_number = isinstance(rate, int | float) and not isinstance(rate, bool)
    if rate is not None and not (is_number and rate > 0):
        raise OperationError(f"the rate must be events a second above 0, not {rate!r}")
    return rate


class Run:
    """An operation that is under way."""

    def __init__(self, operation: Operation, steps: Steps) -> None:
        self.operation = operation
        self.steps = steps
        self.next_step = 0.0  # by the monotonic clock
        self.held_until = 0.0  # the storage has failed; it is not asked again at once
        self.stopped_by: str | None = None
        self.ended = threading.Event()

    @property
    def due(self) -> float:
        """When the next step is to be made, by the monotonic clock."""
        wanted = self.next_step if self.stopped_by is None else 0.0
        return max(wanted, self.held_until)
