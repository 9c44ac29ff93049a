"""Keeps the queues: every ``queue.*`` event moves one task, and its queue's figures with it."""

from __future__ import annotations

from eventbus import Event, EventBus
from handlers.queue import table, tasks
from handlers.settings import HandlerSettings


class QueueHandler:
    """Subscribed as "queue"; handles the events of one task one after the other."""

    name = "queue"
    pattern = "queue.*"
    key = staticmethod(tasks.key)

    def __init__(self, bus: EventBus, settings: HandlerSettings) -> None:
        self._bus = bus
        self.settings = settings

    async def handle(self, event: Event) -> None:
        """Raises MalformedEventError for data that names no task."""
        facts = tasks.read(event)
        if facts is not None:
            self._bus.effect(table.apply, facts)

    def replaced(self) -> None:
        """Nothing of the rows is remembered."""
