"""The app with handlers that make trouble, beside the usual ones.

``trouble.hang`` blocks a worker thread for good, ``trouble.freeze`` the bus's own loop,
``trouble.sleep`` waits politely; ``trouble.flaky`` fails ``data.failures`` times, then counts.
"""

from __future__ import annotations

import asyncio
import threading
import time

from app import create_app
from app.runtime import Runtime
from eventbus import Event

FOREVER_S = 3600.0


class TroubledRuntime(Runtime):
    """Subscribes the trouble as soon as there is a bus."""

    def start(self, wait_for_lock_s: float = 0.0) -> None:
        is_first = not self.is_started
        super().start(wait_for_lock_s)
        if is_first:
            self._failed: dict[str, int] = {}
            self.bus.subscribe("trouble.hang", hang, name="hang", timeout=FOREVER_S)
            self.bus.subscribe("trouble.freeze", freeze, name="freeze", timeout=FOREVER_S)
            self.bus.subscribe("trouble.sleep", sleep, name="sleep", timeout=FOREVER_S)
            self.bus.subscribe("trouble.flaky", self._fail_first, name="flaky", concurrency=64)

    async def _fail_first(self, event: Event) -> None:
        failed = self._failed.get(event.id, 0)
        if failed < event.get("failures", 0):
            self._failed[event.id] = failed + 1
            raise ValueError(f"failure {failed + 1}")
        self.bus.publish("trouble.counted", {"of": event.id})


def hang(event: Event) -> None:
    threading.Event().wait(FOREVER_S)


async def freeze(event: Event) -> None:
    time.sleep(FOREVER_S)  # blocks the loop on purpose


async def sleep(event: Event) -> None:
    await asyncio.sleep(FOREVER_S)


app = create_app()
app.extensions["eventbus"] = TroubledRuntime(app, app.extensions["eventbus"].settings)
