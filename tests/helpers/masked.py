"""The app with handlers that tell what they were given, when they raise and when they publish."""

from __future__ import annotations

from app import create_app
from app.runtime import Runtime
from eventbus import Event
from eventbus.errors import RejectError


class TellingRuntime(Runtime):
    """Subscribes the handlers as soon as there is a bus."""

    def start(self, wait_for_lock_s: float = 0.0) -> None:
        is_first = not self.is_started
        super().start(wait_for_lock_s)
        if is_first:
            self.bus.subscribe("vendor.refused", refuse, name="refusing")
            self.bus.subscribe("vendor.retried", fail, name="failing")
            self.bus.subscribe("vendor.chain", self._chain, name="chaining")

    async def _chain(self, event: Event) -> None:
        self.bus.publish("vendor.chained", {"prompt": event["prompt"], "length": 3})


async def refuse(event: Event) -> None:
    raise RejectError(f"cannot write to {event['customer']['email']}")


async def fail(event: Event) -> None:
    raise ValueError(f"no answer to {event['prompt']}")


app = create_app()
app.extensions["eventbus"] = TellingRuntime(app, app.extensions["eventbus"].settings)
