"""Keeps the evaluations: each ``evaluation.*`` event moves one of them, and may cause others."""

from __future__ import annotations

from eventbus import Event, EventBus
from handlers.audit import trail
from handlers.evaluation import facts as evaluation_facts
from handlers.evaluation.lifecycle import advance
from handlers.evaluation.table import Change, EvaluationTable
from handlers.settings import HandlerSettings

# Only what causes further events has to look at the committed state before the commit.
_DECIDING = frozenset({"started", "completed", "failed"})


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

    async def handle(self, event: Event) -> None:
        """Raises MalformedEventError for data that names no evaluation or has odd numbers."""
        facts = evaluation_facts.read(event)
        if facts is None:
            return
        default_max_retries = self.settings.max_retries
        if facts.kind not in _DECIDING:
            self._bus.effect(self._table.apply, Change(facts, default_max_retries))
            return
        row = await self._table.rows.get(facts.eval_id, facts.sequence)
        outcome = advance(row, facts, default_max_retries)
        if outcome.row is row:
            return
        for type, data in outcome.further:
            self._bus.publish(type, data)
        if outcome.has_started and outcome.row is not None:
            self._audit.info(
                "evaluation %r started, attempt %d", facts.eval_id, outcome.row.attempt
            )
        base = 0 if row is None else row.last_sequence
        self._bus.effect(self._table.apply, Change(facts, default_max_retries, outcome, base))
