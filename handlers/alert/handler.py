"""Keeps the alerts: occurrences are grouped, decisions of people move the groups."""

from __future__ import annotations

from eventbus import Event, EventBus
from handlers.alert import facts as alert_facts
from handlers.alert import table
from handlers.alert.lifecycle import Decision
from handlers.audit import trail
from handlers.settings import HandlerSettings


class AlertHandler:
    """Subscribed as "alert"; handles the events of one alert one after the other."""

    name = "alert"
    pattern = "alert.*"
    key = staticmethod(alert_facts.key)

    def __init__(self, bus: EventBus, settings: HandlerSettings) -> None:
        self._bus = bus
        self._audit = trail(bus)
        self.settings = settings

    async def handle(self, event: Event) -> None:
        """Raises MalformedEventError for a decision that names no alert or has no meaning."""
        fact = alert_facts.read(event)
        if fact is None:
            return
        if isinstance(fact, Decision):
            self._audit.info("alert %r %s by %r", fact.alert_id, fact.kind, fact.by)
        self._bus.effect(table.apply, fact)

    def replaced(self) -> None:
        """Nothing of the rows is remembered."""
