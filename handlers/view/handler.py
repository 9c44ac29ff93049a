"""Keeps the saved views."""

from __future__ import annotations

from eventbus import Event, EventBus
from handlers.audit import trail
from handlers.settings import HandlerSettings
from handlers.view import facts, table


class ViewHandler:
    """Subscribed as "view"; handles one event after the other."""

    name = "view"
    pattern = "dashboard.view.*"
    key = staticmethod(facts.key)

    def __init__(self, bus: EventBus, settings: HandlerSettings) -> None:
        self._bus = bus
        self._audit = trail(bus)
        self.settings = settings

    async def handle(self, event: Event) -> None:
        """Raises MalformedEventError for a name or a pattern that is none."""
        fact = facts.read(event)
        if fact is None:
            return
        what = event.type.rpartition(".")[2]
        self._audit.info("view %r %s by %r", fact.name, what, fact.by)
        self._bus.effect(table.apply, fact)

    def replaced(self) -> None:
        """Nothing of the rows is remembered."""
