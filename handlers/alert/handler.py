"""Keeps the alerts: occurrences are grouped, decisions of people move the groups."""

from __future__ import annotations

import json

from eventbus import Event, EventBus
from handlers.alert import facts as alert_facts
from handlers.alert.changes import ChangeKind, change_of
from handlers.alert.lifecycle import AlertRow, Decision, Fact, advance
from handlers.alert.table import AlertTable, Step
from handlers.audit import trail
from handlers.settings import HandlerSettings

REQUEST = "notification.request.alert"
_MAX_ERROR_CHARS = 500


class AlertHandler:
    """Subscribed as "alert"; handles the events of one alert one after the other.

    With ``announces_alerts`` a change asks for notifications: it is decided on the committed row
    here, and the commit checks that this is still the row.
    """

    name = "alert"
    pattern = "alert.*"
    key = staticmethod(alert_facts.key)

    def __init__(self, bus: EventBus, settings: HandlerSettings) -> None:
        self._bus = bus
        self._audit = trail(bus)
        self._table = AlertTable(bus.log)
        self.settings = settings

    async def handle(self, event: Event) -> None:
        """Raises MalformedEventError for a decision that names no alert or has no meaning."""
        fact = alert_facts.read(event)
        if fact is None:
            return
        if isinstance(fact, Decision):
            self._audit.info("alert %r %s by %r", fact.alert_id, fact.kind, fact.by)
        step = await self._announced(fact) if self.settings.announces_alerts else Step(fact)
        self._bus.effect(self._table.apply, step)

    async def _announced(self, fact: Fact) -> Step:
        version = self._table.rows.version  # before the row: a newer one must not vouch for it
        row = await self._table.rows.get(fact.alert_id, fact.sequence)
        after = advance(row, fact)
        change = change_of(row, after, fact)
        if change is not None and after is not None:
            self._ask(fact, after, change)
        return Step(fact, 0 if row is None else row.last_sequence, version)

    def _ask(self, fact: Fact, row: AlertRow, change: ChangeKind) -> None:
        """Everything that a notification says, as of now: later the alert may have moved on."""
        self._bus.publish(
            REQUEST,
            {
                "alert_id": row.id,
                "change": change,
                "severity": row.severity,
                "state": row.state,
                "service": row.service,
                "error_type": row.error_type,
                "error": _text(row.error)[:_MAX_ERROR_CHARS],
                "eval_id": row.eval_id,
                "occurrences": row.occurrences,
                "by": fact.by if isinstance(fact, Decision) else None,
            },
            subject=row.id,
        )

    def replaced(self) -> None:
        """The rows were replaced by a rebuild; called under the commit lock."""
        self._table.rows.replaced()


def _text(error: str) -> str:
    """The words of an error that is stored as JSON."""
    value = json.loads(error)
    if isinstance(value, dict):
        value = value.get("message") or value.get("detail") or value.get("type") or value
    return value if isinstance(value, str) else "" if value is None else json.dumps(value)
