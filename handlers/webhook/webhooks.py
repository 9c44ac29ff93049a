"""The webhooks of a bus: stored, served as subscriptions, changed by people, told in events."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from concurrent.futures import TimeoutError as FutureTimeoutError
from dataclasses import replace
from datetime import timedelta
from typing import Any
from urllib.parse import urlsplit

from sqlalchemy import Connection

from eventbus import Event, EventBus
from eventbus.errors import EventBusError, SubscriptionError
from eventbus.log.head import concerns
from eventbus.log.unit import Unit
from handlers import standard_webhooks
from handlers.addresses import AddressPolicy
from handlers.errors import WebhookError
from handlers.webhook import table
from handlers.webhook.delivery import Sent, WebhookDelivery
from handlers.webhook.handshake import check_consent
from handlers.webhook.terms import (
    DEFAULT_CONCURRENCY,
    DEFAULT_MAX_ATTEMPTS,
    DEFAULT_TIMEOUT_S,
    Terms,
)
from handlers.webhook.webhook import Webhook

CREATED, CHANGED, ROTATED = "webhook.created", "webhook.changed", "webhook.rotated"
DELETED, TESTED = "webhook.deleted", "webhook.tested"
TEST = "webhook.test"
KEEP_OLD_SECRET_S = 86_400.0
BY = "webhook"

# One attempt: looking up a name is not bounded by the sender's own time-out.
_ATTEMPT_GRACE_S = 20.0
_RESUBSCRIBED = frozenset({"pattern", "timeout_s", "max_attempts", "concurrency"})

logger = logging.getLogger("eventbus.handlers")

_TOPIC = "webhooks"  # told to other processes of the log


class Webhooks:
    """Any plain thread may call it; ``_changing`` guards the deliveries, and changes wait in it."""

    def __init__(self, bus: EventBus, policy: AddressPolicy, origin: str = "") -> None:
        """``origin`` is the host that events are sent as, empty when it has no name."""
        self._bus = bus
        self._policy = policy
        self._origin = origin
        self._changing = threading.Lock()
        self._deliveries: dict[str, WebhookDelivery] = {}

    def start(self) -> None:
        """Serve what is stored. Blocks for a few commits; raises LogWriteError."""
        self._bus.log.migrate(table.COMPONENT, table.MIGRATIONS)
        with self._changing:
            for webhook in self._stored():
                try:
                    self._serve(webhook)
                except SubscriptionError as error:
                    logger.error("the webhook %s is not served: %s", webhook.name, error)

        self._bus.log.change_listeners.append(self._changed_elsewhere)

    def _changed_elsewhere(self, topics: set[str]) -> None:
        """Serve, or be ready to serve, what another process of the log has stored."""
        if not concerns(topics, _TOPIC):
            return
        with self._changing:
            stored = {webhook.name: webhook for webhook in self._stored()}
            for name in self._deliveries.keys() - stored.keys():
                self._leave(self._deliveries.pop(name).webhook)
            for name, webhook in stored.items():
                delivery = self._deliveries.get(name)
                if delivery is not None and delivery.webhook == webhook:
                    continue
                if delivery is not None:
                    self._leave(delivery.webhook)
                self._serve(webhook)

    def all(self) -> list[Webhook]:
        """Every webhook, by name."""
        return self._stored()

    def get(self, name: str) -> Webhook | None:
        """One webhook."""
        delivery = self._deliveries.get(name)
        return None if delivery is None else delivery.webhook

    def create(self, terms: Terms, by: str) -> Webhook | None:
        """Store and serve a new one; None when there is one of this name, or there are too many.

        Raises SubscriptionError when its subscription's name is taken, LogWriteError, and
        WebhookError when its URL is an address that nothing may be sent to, or when the endpoint
        was to be asked, and does not want it.
        """
        self._check(terms)
        self._ask(terms, terms.url, terms.timeout_s)
        with self._changing:
            stored = self._stored()
            is_known = any(webhook.name == terms.name for webhook in stored)
            if is_known or len(stored) >= table.MOST_WEBHOOKS:
                return None
            now = self._bus.now()
            webhook = Webhook(
                name=terms.name or "",
                pattern=terms.pattern or "",
                url=terms.url or "",
                mode=terms.mode or "structured",
                timeout_s=terms.timeout_s or DEFAULT_TIMEOUT_S,
                max_attempts=terms.max_attempts or DEFAULT_MAX_ATTEMPTS,
                concurrency=terms.concurrency or DEFAULT_CONCURRENCY,
                secret=terms.secret or standard_webhooks.new_secret(),
                previous_secret=None,
                previous_until=None,
                created_at=now,
                created_by=by,
                changed_at=now,
            )
            # First, since its name may be taken; events before the commit below are sent as well.
            self._serve(webhook)
            try:
                self._save(CREATED, webhook, by)
            except BaseException:
                self._bus.unsubscribe(webhook.subscription)
                del self._deliveries[webhook.name]
                raise
            return webhook

    def change(self, name: str, terms: Terms, by: str) -> Webhook | None:
        """Change what ``terms`` name; what is pending goes by the new ones. None for none.

        Raises as ``create``.
        """
        self._check(terms)
        before = self.get(name)
        if before is not None:
            self._ask(terms, terms.url or before.url, terms.timeout_s or before.timeout_s)
        given = {
            field: value
            for field in ("pattern", "url", "mode", "timeout_s", "max_attempts", "concurrency")
            if (value := getattr(terms, field)) is not None
        }
        with self._changing:
            delivery = self._deliveries.get(name)
            if delivery is None:
                return None
            before = delivery.webhook
            changed = {f: value for f, value in given.items() if getattr(before, f) != value}
            if not changed:
                return before
            webhook = replace(before, **changed, changed_at=self._bus.now())
            self._save(CHANGED, webhook, by, changed=sorted(changed))
            delivery.webhook = webhook
            if not _RESUBSCRIBED.isdisjoint(changed):
                self._leave(before)
                self._serve(webhook)
            return webhook

    def rotate(self, name: str, by: str, keep_s: float = KEEP_OLD_SECRET_S) -> Webhook | None:
        """A new secret; the old one signs as well for ``keep_s`` seconds. None for none."""
        with self._changing:
            delivery = self._deliveries.get(name)
            if delivery is None:
                return None
            now, old = self._bus.now(), delivery.webhook
            webhook = replace(
                old,
                secret=standard_webhooks.new_secret(),
                previous_secret=old.secret if keep_s else None,
                previous_until=now + timedelta(seconds=keep_s) if keep_s else None,
                changed_at=now,
            )
            self._save(ROTATED, webhook, by, keep_s=keep_s)
            delivery.webhook = webhook
            return webhook

    def delete(self, name: str, by: str) -> Webhook | None:
        """End it: what was not delivered is cancelled, dead letters stay. None for none."""
        with self._changing:
            delivery = self._deliveries.pop(name, None)
            if delivery is None:
                return None
            webhook = delivery.webhook
            self._bus.unsubscribe(webhook.subscription)
            self._commit(DELETED, webhook, by, lambda conn: table.remove(conn, name), {})
            return webhook

    def test(self, name: str, by: str) -> Sent | None:
        """Send a test event now, past the subscription; None for none. Raises WebhookError.

        The outcome is recorded like every other thing that a person does.
        """
        delivery = self._deliveries.get(name)
        if delivery is None:
            return None
        webhook = delivery.webhook
        event = Event.create(TEST, {"webhook": name, "by": by}, subject=webhook.subscription)
        try:
            sent = delivery.send(event)
        except WebhookError as error:
            self._tell(webhook, by, {"error": str(error)})
            raise
        self._tell(webhook, by, {"answer": sent.answer, "duration_ms": sent.duration_ms})
        return sent

    def _check(self, terms: Terms) -> None:
        """What a name leads to is looked up for every delivery; an address is known now."""
        address = self._policy.refused(urlsplit(terms.url or "").hostname or "-")
        if address is not None:
            raise WebhookError(
                f"must lead to a public address, not {address}, or to one that "
                "EVENTBUS_WEBHOOK_NETWORKS allows"
            )

    def _ask(self, terms: Terms, url: str | None, timeout_s: float | None) -> None:
        """Before anything is held: it takes as long as the endpoint does."""
        if not terms.handshake:
            return
        if not self._origin:
            raise WebhookError("cannot be asked: EVENTBUS_PUBLIC_URL must say who we are")
        check_consent(url or "", self._origin, timeout_s or DEFAULT_TIMEOUT_S, self._policy)

    # -- serving -------------------------------------------------------------------------------

    def _serve(self, webhook: Webhook) -> None:
        delivery = WebhookDelivery(webhook, self._policy, self._gone, self._origin)
        self._bus.subscribe(
            webhook.pattern,
            delivery.handle,
            name=webhook.subscription,
            concurrency=webhook.concurrency,
            timeout=webhook.timeout_s + _ATTEMPT_GRACE_S,
            max_attempts=webhook.max_attempts,
        )
        self._deliveries[webhook.name] = delivery

    def _leave(self, webhook: Webhook) -> None:
        try:
            self._bus.detach(webhook.subscription)
        except FutureTimeoutError:
            raise SubscriptionError(f"{webhook.subscription} is busy; try again") from None

    def _gone(self, webhook: Webhook, reason: str) -> None:
        try:
            self._bus.pauses.pause(webhook.subscription, BY, reason)
        except EventBusError as error:
            logger.error("%s could not be paused: %s", webhook.subscription, error)

    # -- the table, and what is told -----------------------------------------------------------

    def _stored(self) -> list[Webhook]:
        with self._bus.log.reading() as conn:
            return table.all_of(conn)

    def _save(self, type: str, webhook: Webhook, by: str, **more: Any) -> None:
        self._commit(type, webhook, by, lambda conn: table.put(conn, webhook), more)

    def _commit(
        self, type: str, webhook: Webhook, by: str, write: Callable[[Connection], None],
        more: dict[str, Any],
    ) -> None:  # fmt: skip
        event = Event.create(
            type, {**_told(webhook, by), **more}, subject=webhook.subscription, time=self._bus.now()
        )
        self._bus.log.commit(Unit([event], call=write, topic=_TOPIC))

    def _tell(self, webhook: Webhook, by: str, outcome: dict[str, Any]) -> None:
        self._bus.publish(TESTED, {**_told(webhook, by), **outcome}, subject=webhook.subscription)


def _told(webhook: Webhook, by: str) -> dict[str, Any]:
    """What an event says: neither secrets nor the URL, whose path may be one."""
    return {
        "name": webhook.name,
        "pattern": webhook.pattern,
        "url": webhook.shown_url,
        "mode": webhook.mode,
        "by": by,
    }
