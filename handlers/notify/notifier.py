"""The notifier: subscribes the configured channels, and knows how each one does."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from eventbus import Event, EventBus, Pattern
from eventbus.log import EventQuery
from handlers.notify.channels import SUBSCRIPTION_PREFIX, Channel
from handlers.notify.delivery import FAILED, PATTERN, SENT, ChannelDelivery
from handlers.notify.limit import RateLimit
from handlers.notify.mail import MailServer
from handlers.notify.sender import Sender

# One attempt: looking up a name is not bounded by the sender's own time-out.
_ATTEMPT_GRACE_S = 20.0
_ANY = Pattern("notification.+")
_SENT, _FAILED = Pattern(SENT), Pattern(FAILED)

ChannelHealth = Literal["unused", "working", "failing", "retrying"]


@dataclass(frozen=True, slots=True)
class NotifySettings:
    """What can be set about notifications; ``timeout_s`` bounds one attempt's conversation."""

    channels: tuple[Channel, ...] = ()
    server: MailServer | None = None
    mail_from: str = "eventbus@localhost"
    limit: RateLimit = RateLimit()
    max_attempts: int = 20
    timeout_s: float = 10.0


@dataclass(frozen=True, slots=True)
class ChannelState:
    """How a channel does: its last successes and failures as events, and what waits.

    ``waiting`` counts requests that are not finished, ``dead`` those that were given up.
    """

    channel: Channel
    health: ChannelHealth
    last_sent: Event | None
    last_failed: Event | None
    waiting: int
    retrying: int
    dead: int


class Notifier:
    """The channels of a bus; any thread may ask."""

    def __init__(self, bus: EventBus, settings: NotifySettings, base_url: str, source: str) -> None:
        """``base_url`` is what links begin with, ``source`` is that of CloudEvents sent."""
        self._bus = bus
        self._settings = settings
        self._deliveries = {
            channel.name: ChannelDelivery(
                bus,
                channel,
                Sender(channel, settings.server, settings.mail_from, source, settings.timeout_s),
                settings.limit,
                base_url,
                settings.max_attempts,
            )
            for channel in settings.channels
        }

    @property
    def settings(self) -> NotifySettings:
        return self._settings

    def start(self) -> None:
        """Subscribe every channel, and end the subscriptions of those that are gone.

        Blocks for a few commits. Raises SubscriptionError, LogWriteError.
        """
        names = {delivery.channel.subscription for delivery in self._deliveries.values()}
        for stored in self._bus.log.subscribers():
            is_ours = stored.name.startswith(SUBSCRIPTION_PREFIX)
            if is_ours and str(stored.pattern) == PATTERN and stored.name not in names:
                self._bus.unsubscribe(stored.name)
        for delivery in self._deliveries.values():
            self._bus.subscribe(
                PATTERN,
                delivery.handle,
                name=delivery.channel.subscription,
                key=delivery.key,
                concurrency=1,
                timeout=self._settings.timeout_s + _ATTEMPT_GRACE_S,
                max_attempts=self._settings.max_attempts,
                together=True,
            )

    def test(self, name: str, by: str) -> str:
        """Send a test to a channel; returns the answer.

        Raises KeyError for an unknown channel, NotificationError when it failed.
        """
        return self._deliveries[name].test(by)

    def states(self) -> Sequence[ChannelState]:
        """How every channel does, in the order of the configuration."""
        if not self._deliveries:
            return ()
        stats = {each.name: each for each in self._bus.subscriptions()}
        states = []
        for delivery in self._deliveries.values():
            channel = delivery.channel
            sent = self._newest(_SENT, channel)
            failed = self._newest(_FAILED, channel)
            now = stats.get(channel.subscription)
            retrying = now.retrying if now else 0
            states.append(
                ChannelState(
                    channel=channel,
                    health=_health(sent, failed, retrying),
                    last_sent=sent,
                    last_failed=failed,
                    waiting=now.lag if now else 0,
                    retrying=retrying,
                    dead=now.dead if now else 0,
                )
            )
        return states

    def recent(self, limit: int = 30) -> Sequence[Event]:
        """The newest outcomes of all channels: sent, failed and held."""
        return self._bus.log.query(EventQuery(pattern=_ANY, limit=limit)).events

    def _newest(self, pattern: Pattern, channel: Channel) -> Event | None:
        query = EventQuery(pattern=pattern, subject=channel.subscription, limit=1)
        return next(iter(self._bus.log.query(query).events), None)


def _health(sent: Event | None, failed: Event | None, retrying: int) -> ChannelHealth:
    if retrying:
        return "retrying"
    if failed is not None and (sent is None or (failed.sequence or 0) > (sent.sequence or 0)):
        return "failing"
    return "unused" if sent is None else "working"
