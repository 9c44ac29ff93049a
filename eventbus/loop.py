"""The bus's event loop and the thread that runs it until it is told to stop."""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from collections.abc import Coroutine
from concurrent.futures import TimeoutError as FutureTimeoutError
from typing import Any

from eventbus.errors import WaitingError
from eventbus.threads import start_thread

logger = logging.getLogger("eventbus")


class LoopThread:
    """Owns the "eventbus-loop" thread; ``loop`` is what it runs, from ``start`` to ``stop``."""

    def __init__(self) -> None:
        self.loop = asyncio.new_event_loop()
        self._is_stopping = False
        self._thread = threading.Thread(target=self._run, name="eventbus-loop", daemon=True)

    @property
    def ident(self) -> int | None:
        """The thread's identifier, None before ``start``."""
        return self._thread.ident

    @property
    def is_alive(self) -> bool:
        """Whether anything is delivered."""
        return self._thread.is_alive()

    def start(self) -> None:
        """Raises NoThreadError; then the loop is closed."""
        try:
            start_thread(self._thread)
        except BaseException:
            self.loop.close()
            raise

    def stop(self, timeout_s: float) -> None:
        """End the loop; waits up to ``timeout_s`` for a callback that blocks it."""
        self._is_stopping = True
        if self._thread.is_alive():
            self.loop.call_soon_threadsafe(self.loop.stop)
            self._thread.join(timeout_s)

    def _run(self) -> None:
        asyncio.set_event_loop(self.loop)
        try:
            while not self._is_stopping:
                try:
                    self.loop.run_forever()
                except BaseException:
                    # SystemExit of a task that a handler started, or no memory between two
                    # callbacks: all deliveries depend on this thread, so it goes on.
                    logger.exception("something on the bus's loop tried to end it")
            # What never began to stop, or was cut off, must not be dropped in the middle.
            left = asyncio.all_tasks(self.loop)
            for task in left:
                task.cancel()
            self.loop.run_until_complete(asyncio.gather(*left, return_exceptions=True))
        finally:
            self.loop.close()


def refuse_on(loop: asyncio.AbstractEventLoop, call: str) -> None:
    """Raise WaitingError in what runs on ``loop``: it would stand still, and never be answered."""
    if asyncio._get_running_loop() is loop:
        raise WaitingError(
            f"{call} waits for the bus's loop, on which this async or inline handler runs: call it "
            "in another thread"
        )


def finishes(
    coroutine: Coroutine[Any, Any, object],
    loop: asyncio.AbstractEventLoop,
    deadline: float | None,
) -> bool:
    """Run it on a loop of another thread; whether it ends before ``deadline`` (monotonic).

    Blocks; it is cancelled when its time is over.
    """
    waiting = asyncio.run_coroutine_threadsafe(coroutine, loop)
    try:
        waiting.result(None if deadline is None else max(0.0, deadline - time.monotonic()))
    except (TimeoutError, FutureTimeoutError):
        waiting.cancel()
        return False
    return True
