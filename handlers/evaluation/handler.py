"""Keeps the evaluations: each ``evaluation.*`` event moves one of them, and may cause others."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from eventbus import Event, EventBus
from eventbus.timestamps import format_time
from handlers.audit import trail
from handlers.evaluation import facts as evaluation_facts
from handlers.evaluation import inbox_table
from handlers.evaluation.lifecycle import EvaluationRow, advance
from handlers.evaluation.retry import RETRY, RETRY_SCHEDULED, retry_id
from handlers.evaluation.table import Change, EvaluationTable
from handlers.retry_delays import delay_s
from handlers.settings import HandlerSettings

# Only what causes further events, or takes a scheduled one back, has to look at the committed
# state before the commit.
_DECIDING = frozenset({"started", "completed", "failed", "retry", "cancelled"})


class EvaluationHandler:
    """Subscribed as "evaluation"; handles the events of one evaluation one after the other.

    Progress, retries and the like are applied when the group of deliveries commits, many in one
    query. An event that causes others is decided on the committed row here, and the commit checks
    that this is still the row.
    """

    name = "evaluation"
    # One segment: evaluation.sample.* tells about samples, of which there are many, and changes
    # no evaluation's state.
    pattern = "evaluation.+"
    key = staticmethod(evaluation_facts.key)

    def __init__(self, bus: EventBus, settings: HandlerSettings) -> None:
        self._bus = bus
        self._audit = trail(bus)
        self._table = EvaluationTable(bus.log)
        self.settings = settings

    def _ask_for_retry(self, row: EvaluationRow, data: dict[str, Any]) -> None:
        """Now, or after the delay for this kind, which is then in the log for all to count down."""
        count = data["retry_count"]
        seconds = delay_s(self.settings.retry_delays, row.task, count)
        id = retry_id(row.first_sequence, row.eval_id, count)
        if not seconds:
            self._bus.publish(RETRY, data, id=id)
            return
        at = self._bus.now() + timedelta(seconds=seconds)
        self._bus.publish(RETRY_SCHEDULED, {**data, "at": format_time(at)})
        self._bus.publish(RETRY, data, at=at, id=id)

    def _take_back_retry(self, row: EvaluationRow | None, now: EvaluationRow | None) -> None:
        """Nobody is asked again for a retry of what has begun, ended or been asked for by now."""
        if row is None or now is None:
            return
        # Of a failed one the retry may be scheduled already, and the event that says so still come.
        if row.state == "failed" and now.state != "failed" and self.settings.retry_delays:
            count = row.attempt
        elif row.retry_at is not None and now.retry_at is None:
            count = row.attempt - 1
        else:
            return
        # When its time has come there is nothing to cancel any more.
        id = retry_id(row.first_sequence, row.eval_id, count)
        self._bus.cancel(id, by=f"/handlers/{self.name}")

    async def handle(self, event: Event) -> None:
        """Raises MalformedEventError for data that names no evaluation or has odd numbers."""
        if event.type == inbox_table.DISMISSED:
            self._bus.effect(self._table.apply, inbox_table.Dismissal.read(event))
            return
        facts = evaluation_facts.read(event)
        if facts is None:
            return
        default_max_retries = self.settings.max_retries
        if facts.kind not in _DECIDING:
            self._bus.effect(self._table.apply, Change(facts, default_max_retries))
            return
        version = self._table.rows.version  # before the row: a newer one must not vouch for it
        row = await self._table.rows.get(facts.eval_id, facts.sequence)
        outcome = advance(row, facts, default_max_retries)
        if outcome.row is row:
            return
        self._take_back_retry(row, outcome.row)
        for type, data in outcome.further:
            if type == RETRY and outcome.row is not None:
                self._ask_for_retry(outcome.row, data)
            else:
                self._bus.publish(type, data)
        if outcome.has_started and outcome.row is not None:
            self._audit.info(
                "evaluation %r started, attempt %d", facts.eval_id, outcome.row.attempt
            )
        base = 0 if row is None else row.last_sequence
        change = Change(facts, default_max_retries, outcome, base, version)
        self._bus.effect(self._table.apply, change)

    def replaced(self) -> None:
        """The rows were replaced by a rebuild; called under the commit lock."""
        self._table.rows.replaced()
