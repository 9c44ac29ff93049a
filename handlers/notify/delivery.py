"""One channel's subscription: decides what is sent, what is held back and summed up, and tells it.

Retries, time-outs and dead letters are those of every subscription. What happened is an event:
``notification.sent``, ``notification.failed`` (each attempt), ``notification.held``.
"""

from __future__ import annotations

import contextvars
import logging
import time
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

from eventbus import Event, EventBus, Pattern
from eventbus.actor import signed
from eventbus.errors import EventBusError, RejectError
from eventbus.log import EventQuery
from handlers.errors import NotificationError
from handlers.notify import message
from handlers.notify.channels import Channel
from handlers.notify.limit import RateLimit, SendWindow
from handlers.notify.message import Message
from handlers.notify.sender import Sender

PATTERN = "notification.request.*"
ALERT = "notification.request.alert"
SUMMARY = "notification.request.summary"
SENT, FAILED, HELD = "notification.sent", "notification.failed", "notification.held"
_MOST_HELD = 5_000

logger = logging.getLogger("eventbus.handlers")


class ChannelDelivery:
    """Handles the requests for one channel, one after the other, in threads of the bus."""

    def __init__(
        self,
        bus: EventBus,
        channel: Channel,
        sender: Sender,
        limit: RateLimit,
        base_url: str,
        max_attempts: int,
    ) -> None:
        self.channel = channel
        self._bus = bus
        self._sender = sender
        self._limit = limit
        self._base_url = base_url
        self._max_attempts = max_attempts
        self._window: SendWindow | None = None
        self._summary = ""  # the id of the summary that what is held now will be in

    def key(self, event: Event) -> str:
        """One key for all: what comes later must not overtake what is tried again."""
        return self.channel.name

    def handle(self, event: Event) -> None:
        """Send, hold back, or do nothing. Raises NotificationError and its refusal."""
        if event.type == ALERT:
            self._tell(event)
        elif event.type == SUMMARY and event.data.get("channel") == self.channel.name:
            self._sum_up(event)

    def test(self, by: str) -> str:
        """Send a test now, past the limit; returns the answer. Raises NotificationError.

        The outcome is recorded like that of every other notification.
        """
        now = datetime.now(UTC)
        key = f"test-{self.channel.name}-{now.timestamp():.6f}"
        what = message.of_test(self.channel.name, key, now, self._base_url, by)
        started = time.monotonic()
        try:
            answer = self._sender.send(what)
        except NotificationError as error:
            failed = {"error": str(error), "is_test": True, "will_retry": False, **signed(by)}
            self._bus.publish(FAILED, self._data(what, failed), subject=self.channel.subscription)
            raise
        sent = {"answer": answer, "duration_ms": _since(started), "is_test": True, **signed(by)}
        self._bus.publish(SENT, self._data(what, sent), subject=self.channel.subscription)
        return answer

    def _tell(self, event: Event) -> None:
        data = event.data
        if not self.channel.wants(data.get("change"), data.get("severity")):
            return
        what = message.of_change(data, self._key(event), event.time, self._base_url)
        window, now = self._sends(), time.time()
        free_at = window.free_at(now)
        if free_at > now:
            self._hold(event, what, free_at - now)
            return
        self._send(event, what)

    def _hold(self, event: Event, what: Message, delay_s: float) -> None:
        self._summary = self._summary or f"summary-{self.channel.name}-{event.id}"
        subject = self.channel.subscription
        # Asked for again with each one that is held: under the same id it is scheduled once.
        self._bus.publish(
            SUMMARY,
            {"channel": self.channel.name, "summary": self._summary},
            subject=subject,
            id=self._summary,
            source=f"/handlers/{subject}",
            at=self._bus.now() + timedelta(seconds=delay_s),
        )
        self._bus.publish(HELD, self._data(what, {"summary": self._summary}), subject=subject)

    def _sum_up(self, event: Event) -> None:
        summary = event.data.get("summary")
        held = self._held(summary)
        if held:
            what = message.of_summary(
                held, self._key(event), event.time, self._base_url, self.channel.name
            )
            self._send(event, what, {"count": len(held)})
        if self._summary == summary:
            self._summary = ""

    def _send(self, event: Event, what: Message, more: Mapping[str, Any] | None = None) -> None:
        started = time.monotonic()
        try:
            answer = self._sender.send(what)
        except NotificationError as error:
            self._tell_failure(event, what, error)
            raise
        self._sends().take(time.time())
        sent = {"answer": answer, "duration_ms": _since(started), **(more or {})}
        self._bus.publish(SENT, self._data(what, sent), subject=self.channel.subscription)

    def _tell_failure(self, event: Event, what: Message, error: NotificationError) -> None:
        """Record the failure, although its attempt has no effects."""
        name = self.channel.subscription
        runs = (run for run in self._bus.running() if run.subscription == name)
        attempt = next((run.attempt for run in runs if run.sequence == event.sequence), 1)
        will_retry = not isinstance(error, RejectError) and attempt < self._max_attempts
        failed = {"error": str(error), "attempt": attempt, "will_retry": will_retry}
        context = contextvars.Context()  # outside the attempt: there it would be dropped with it
        try:
            context.run(
                self._bus.publish,
                FAILED,
                self._data(what, failed),
                subject=name,
                source=f"/handlers/{name}",
                correlationid=event.correlationid,
                causationid=event.id,
            )
        except EventBusError as problem:
            logger.error("that %s failed could not be recorded: %s", name, problem)

    def _held(self, summary: object) -> list[dict[str, Any]]:
        """What was held back for a summary, newest first."""
        found: list[dict[str, Any]] = []
        cursor: str | None = None
        while len(found) < _MOST_HELD:
            page = self._bus.log.query(
                EventQuery(
                    pattern=Pattern(HELD), subject=self.channel.subscription, cursor=cursor,
                    limit=1000,
                )
            )  # fmt: skip
            ours = [event.data for event in page.events if event.data.get("summary") == summary]
            found += ours
            cursor = page.next
            if cursor is None or (found and not ours):
                break
        return found

    def _sends(self) -> SendWindow:
        """The window of what was sent, at first as the log tells it."""
        if self._window is None:
            page = self._bus.log.query(
                EventQuery(
                    pattern=Pattern(SENT), subject=self.channel.subscription,
                    limit=self._limit.count,
                )
            )  # fmt: skip
            times = [event.time.timestamp() for event in page.events if not event.get("is_test")]
            self._window = SendWindow(self._limit, sorted(times))
        return self._window

    def _data(self, what: Message, outcome: Mapping[str, Any]) -> dict[str, Any]:
        about = {name: what.data[name] for name in ("alert_id", "change", "severity") if
                 what.data.get(name) is not None}  # fmt: skip
        return {
            "channel": self.channel.name,
            "kind": self.channel.kind,
            "title": what.title,
            **about,
            **outcome,
        }

    def _key(self, event: Event) -> str:
        return f"{event.id}-{self.channel.name}"


def _since(started: float) -> float:
    return round((time.monotonic() - started) * 1000, 1)
