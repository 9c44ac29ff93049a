"""Retention while the server runs: every few minutes, and when somebody asks for it."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any

from app.config import Settings
from eventbus import Event, EventBus
from eventbus.actor import signed
from eventbus.errors import EventBusError, RetentionError
from eventbus.retention import Removed, RetentionRules
from eventbus.retention.run import Counts
from eventbus.serving import WORK
from eventbus.threads import start_thread
from handlers import HandlerSettings
from handlers.retention import retention

REQUESTED, REMOVED = "bus.retention.requested", "bus.retention.removed"
SOURCE = "/retention"
EVERY_S = 300.0
_FIRST_S = 30.0  # a start has better things to do
_SAY_EVERY_S = 3_600.0
_JOIN_S = 1.0

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class LastRun:
    """How a run went; times are aware. ``rules``: what each rule removed."""

    started_at: datetime
    finished_at: datetime | None = None
    by: str | None = None
    rules: dict[str, dict[str, int]] = field(default_factory=dict)
    held_back: int = 0
    is_too_large: bool = False
    error: str | None = None


class Retentions:
    """One thread, "eventbus-retention"; any thread may ask."""

    def __init__(
        self, bus: EventBus, settings: Settings, handler_settings: HandlerSettings
    ) -> None:
        self.rules = RetentionRules(settings.retention)
        self.max_bytes = settings.max_database_bytes
        self.last_run: LastRun | None = None
        self._bus = bus
        self._retention = retention(bus, self.rules, handler_settings, max_bytes=self.max_bytes)
        self._lock = threading.Lock()  # guards _asked_by
        self._asked_by: str | None = None
        self._wake = threading.Event()
        self._is_closing = False
        self._unsaid: dict[str, Counts] = {}
        self._say_at = 0.0
        self._thread = threading.Thread(target=self._work, name="eventbus-retention", daemon=True)
        bus.log.add_listener(self._heard)

    @property
    def is_configured(self) -> bool:
        """Whether anything may ever go."""
        return bool(self.rules.rules) or self.max_bytes > 0

    @property
    def is_running(self) -> bool:
        """Whether a run is under way or asked for."""
        run = self.last_run
        return self._asked_by is not None or (run is not None and run.finished_at is None)

    @property
    def longest_hold_ms(self) -> float:
        """The longest that commits had to wait for retention since the start."""
        return self._retention.longest_hold_ms

    def start(self) -> None:
        """Begin to look, if anything may ever go. Raises NoThreadError."""
        if self.is_configured:
            start_thread(self._thread)

    def close(self) -> None:
        """Stop what runs, after its present chunk."""
        self._is_closing = True
        self._retention.stop()
        self._wake.set()
        if self._thread.is_alive():
            self._thread.join(_JOIN_S)

    def preview(self) -> Removed:
        """What a run would remove by age now."""
        return self._retention.would_remove()

    def ask(self, by: str) -> None:
        """Have a run begin now, for the person ``by``.

        Raises RetentionError when one is under way or nothing is configured.
        """
        if not self.is_configured:
            raise RetentionError(
                "nothing may be removed: neither EVENTBUS_RETENTION nor "
                "EVENTBUS_MAX_DATABASE_BYTES is set"
            )
        with self._lock:
            if self.is_running:
                raise RetentionError("a run of retention is under way; wait for its end")
            self._bus.publish_event(_event(REQUESTED, signed(by))).wait()
            if not self._bus.serving.does(WORK):
                return  # who does hears the event
            self._asked_by = by
        self._wake.set()

    def _heard(self, events: Sequence[Event]) -> None:
        """Another process, where somebody asked for a run, leaves it to the one that does them."""
        if not self._bus.log.channel or not self._bus.serving.does(WORK):
            return
        for event in events:
            if event.type == REQUESTED and event.source == SOURCE:
                self._asked_by = self._asked_by or str(event.get("by"))
                self._wake.set()

    def _work(self) -> None:
        wait_s = _FIRST_S
        while True:
            self._wake.wait(wait_s)
            self._wake.clear()
            if self._is_closing:
                break
            if self._asked_by or self._bus.serving.does(WORK):
                self._run()
                self._say()
            wait_s = EVERY_S
        self._say(is_last=True)

    def _run(self) -> None:
        self.last_run = run = LastRun(datetime.now(UTC), by=self._asked_by)
        self._asked_by = None
        error = None
        removed = Removed()
        try:
            removed = self._retention.run()
        except EventBusError as failure:
            log.error("retention could not go on: %s", failure)
            error = str(failure)
        except Exception as failure:  # whatever it is, the next run may go better
            log.exception("retention failed")
            error = repr(failure)
        if removed.is_too_large:
            log.warning(
                "the database is larger than EVENTBUS_MAX_DATABASE_BYTES (%d), and nothing more "
                "may be removed", self.max_bytes,
            )  # fmt: skip
        for rule, counts in removed.rules.items():
            sum = self._unsaid.setdefault(rule, Counts())
            sum.events += counts.events
            sum.payloads += counts.payloads
        self.last_run = replace(
            run, finished_at=datetime.now(UTC), rules=described(removed.rules),
            held_back=removed.held_back, is_too_large=removed.is_too_large, error=error,
        )  # fmt: skip

    def _say(self, *, is_last: bool = False) -> None:
        """Record what has gone since it was last said; at most once an hour, and at the end."""
        if not self._unsaid or (time.monotonic() < self._say_at and not is_last):
            return
        try:
            self._bus.publish_event(_event(REMOVED, {"rules": described(self._unsaid)})).wait(
                _JOIN_S
            )
        except EventBusError as error:
            log.warning("what retention removed could not be recorded: %s", error)
            return
        self._unsaid = {}
        self._say_at = time.monotonic() + _SAY_EVERY_S


def described(rules: dict[str, Counts]) -> dict[str, dict[str, int]]:
    """Counts by rule as the API tells them."""
    return {
        rule: {"events": counts.events, "payloads": counts.payloads}
        for rule, counts in rules.items()
    }


def _event(type: str, data: dict[str, Any]) -> Event:
    return Event.create(type, data, source=SOURCE, subject="retention")
