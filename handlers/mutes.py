"""Ends mutes whose time is over: an alert that nobody looked at must not stay silent for ever."""

from __future__ import annotations

from datetime import datetime

from eventbus import EventBus
from eventbus.timestamps import format_time
from handlers.alert import Alerts

SOURCE = "/handlers/mutes"


class MuteWatch:
    """Publishes ``alert.unmuted``: that a mute ends is a fact, in the log like its start."""

    def __init__(self, bus: EventBus, alerts: Alerts) -> None:
        self._bus = bus
        self._alerts = alerts

    def check(self, now: datetime) -> int:
        """End the mutes that are over at ``now`` (aware); returns how many were not known to be.

        Blocks for a commit when there are any; raises LogWriteError.
        """
        ended = self._alerts.mutes_ended(now)
        if not ended:
            return 0
        receipt = self._bus.publish_many(
            {
                "type": "alert.unmuted",
                # The same mute ends once, however often and from where this is called.
                "id": f"unmuted-{alert.id}-{alert.muted_until}",
                "source": SOURCE,
                "subject": alert.id,
                "time": format_time(now),
                "data": {"alert_id": alert.id, "by": "mute ended"},
            }
            for alert in ended
        )
        return receipt.duplicates.count(False)
