"""Deciding about many evaluations of the inbox: operations that retry or dismiss what is meant."""

from __future__ import annotations

from typing import Any

from eventbus import EventBus
from eventbus.errors import OperationError
from eventbus.log import Operation
from eventbus.publishing_steps import Part
from handlers.evaluation.evaluations import Evaluations
from handlers.evaluation.inbox import Inbox, InboxSelection
from handlers.evaluation.requests import asked_again, can_be_retried, dismissed


class Decisions:
    """Begins them, from any thread; ``start`` has those go on that were left running.

    They go through the inbox from its oldest item on. Their events name the operation.
    """

    def __init__(self, bus: EventBus, evaluations: Evaluations, inbox: Inbox) -> None:
        self._bus = bus
        self._evaluations = evaluations
        self._inbox = inbox

    def start(self) -> None:
        self._bus.operations.define({"retry": self._retried, "dismissal": self._dismissed})

    def retry(
        self, selection: InboxSelection, by: str, reason: str | None = None,
        rate: float | None = None,
    ) -> Operation:  # fmt: skip
        """Ask for one more attempt of all that are selected and can be retried now.

        ``rate`` is how many a second at most. What needs a person only from now on is not
        selected. Raises OperationError, LogWriteError.
        """
        chosen = self._inbox.fixed(selection)
        total = self._inbox.count(chosen, can_be_retried=True)
        return self._bus.operations.begin("retry", chosen, by, reason, total, rate)

    def dismiss(self, selection: InboxSelection, by: str, reason: str) -> Operation:
        """Take all that are selected out of the inbox. Raises OperationError, LogWriteError."""
        if not reason.strip():
            raise OperationError("a dismissal needs a reason that says why nobody misses them")
        chosen = self._inbox.fixed(selection)
        return self._bus.operations.begin(
            "dismissal", chosen, by, reason, self._inbox.count(chosen)
        )

    def _retried(self, operation: Operation, position: int, limit: int) -> Part | None:
        chosen = InboxSelection.from_dict(operation.selection)
        some = self._inbox.select(chosen, limit, position, can_be_retried=True)
        if not some:
            return None
        found = (self._evaluations.get(eval_id) for _, eval_id in some)
        possible = can_be_retried(found)
        events = [_part_of(operation, asked_again(self._bus, e, operation.by)) for e in possible]
        return Part(events, some[-1][0], len(some) - len(possible))

    def _dismissed(self, operation: Operation, position: int, limit: int) -> Part | None:
        chosen = InboxSelection.from_dict(operation.selection)
        some = self._inbox.select(chosen, limit, position)
        if not some:
            return None
        said = (dismissed(eval_id, operation.by, operation.reason) for _, eval_id in some)
        chain = {"correlationid": operation.event_id}
        events = [_part_of(operation, {**chain, **event}) for event in said]
        return Part(events, some[-1][0])


def _part_of(operation: Operation, event: dict[str, Any]) -> dict[str, Any]:
    """The event, caused by the operation unless something else has caused it, and naming it."""
    data = {**event["data"], "operation": operation.id}
    return {"causationid": operation.event_id, **event, "data": data}
