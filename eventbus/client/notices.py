"""What the client says in the log about its connection: each change once, with exact counts."""

from __future__ import annotations

import logging

from eventbus.client.outbox import ClientStats

log = logging.getLogger("eventbus.client")


class Notices:
    """Says when the bus goes away and comes back, and when events start and cease to be dropped.

    Belongs to the sending thread. All of it is a warning: at the level of a mere information
    most programs would show that the bus went away and not that it is back.
    """

    def __init__(self, url: str, max_pending: int) -> None:
        self.is_away = False
        self._url = url
        self._max_pending = max_pending
        self._is_dropping = False
        self._dropped_before = 0

    def failed(self, reason: str, stats: ClientStats) -> None:
        """An attempt to send has failed."""
        if not self.is_away:
            self.is_away = True
            log.warning(
                "the event bus at %s is away (%s); up to %d events are kept for it meanwhile",
                self._url, reason, self._max_pending,
            )  # fmt: skip
        self._look_for_drops(stats)

    def answered(self, stats: ClientStats, settled_count: int) -> None:
        """The bus has dealt with ``settled_count`` of the events that ``stats`` calls pending."""
        pending = stats.pending - settled_count
        dropped = stats.dropped - self._dropped_before
        if self.is_away:
            self.is_away = False
            log.warning(
                "the event bus at %s is back; %d events are still to be sent, %d were dropped",
                self._url, pending, dropped,
            )  # fmt: skip
            self._dropped_before, self._is_dropping = stats.dropped, False
            return
        self._look_for_drops(stats)
        if self._is_dropping and pending <= self._max_pending // 2:
            log.warning(
                "there is room again for the event bus at %s; %d events were dropped",
                self._url, dropped,
            )  # fmt: skip
            self._dropped_before, self._is_dropping = stats.dropped, False

    def refused(self, event_id: str, type: str, reason: str) -> None:
        """The bus will never take this event."""
        log.warning(
            "the event bus at %s refused event %s (%s): %s", self._url, event_id, type, reason
        )

    def given_up(self, count: int) -> None:
        """The client was closed with unconfirmed events."""
        log.warning(
            "%d events were not confirmed by the event bus at %s and are given up", count, self._url
        )

    def _look_for_drops(self, stats: ClientStats) -> None:
        if not self._is_dropping and stats.dropped > self._dropped_before:
            self._is_dropping = True
            log.warning(
                "%d events wait for the event bus at %s, which is all there is room for: the "
                "oldest are dropped from now on", stats.pending, self._url,
            )  # fmt: skip
