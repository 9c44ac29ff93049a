"""Pausing subscriptions: what comes stays pending in the log until somebody resumes them."""

from __future__ import annotations

import asyncio
import threading
from typing import TYPE_CHECKING

from eventbus.actor import check_actor, signed
from eventbus.event import Event
from eventbus.log.commit import call_soon
from eventbus.log.subscribers import Pause

if TYPE_CHECKING:
    from eventbus.bus import EventBus

PAUSED, RESUMED = "subscription.paused", "subscription.resumed"
# How long the answer waits for the bus's loop, which a handler may be blocking.
_LOOP_WITHIN_S = 1.0


class Pauses:
    """Any thread may call it; both methods block for a commit.

    A pause stands in the log with the subscription, so it holds across restarts, also for one
    that nothing serves now. What was begun ends as it will; retries that are due wait as well.
    """

    def __init__(self, bus: EventBus) -> None:
        self._bus = bus

    def pause(self, name: str, by: str, reason: str | None = None) -> bool:
        """Begin no more attempts of a durable subscription; whether it was not paused before.

        Recorded as ``subscription.paused``. Raises SubscriptionError, ActorError, LogWriteError.
        """
        pause = Pause(self._bus.now(), by, reason)
        return self._change(PAUSED, name, by, reason, pause)

    def resume(self, name: str, by: str, reason: str | None = None) -> bool:
        """Go on where it was paused; whether it was. As ``subscription.resumed``."""
        return self._change(RESUMED, name, by, reason, None)

    def _change(
        self, type: str, name: str, by: str, reason: str | None, pause: Pause | None
    ) -> bool:
        data = {"name": name, **signed(check_actor(by))}
        if reason is not None:
            data["reason"] = reason
        event = Event.create(type, data, subject=name, time=self._bus.now())
        has_changed = self._bus.log.subscription_changes.pause(name, pause, event)
        seen = threading.Event()

        def look() -> None:
            self._bus.dispatcher.look_again(name)
            seen.set()

        loop = self._bus.dispatcher.loop
        call_soon(loop, look)
        if asyncio._get_running_loop() is not loop:  # on it, nothing is begun before that
            seen.wait(_LOOP_WITHIN_S)
        return has_changed
