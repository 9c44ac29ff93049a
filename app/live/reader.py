"""The thread that reads a WebSocket, started while the answer can still be a refusal."""

from __future__ import annotations

import threading
from collections.abc import Callable

from eventbus.threads import start_thread


class Reader:
    """A thread that waits for what it is to do.

    simple-websocket starts its thread after the handshake, when nothing can be said any more. This
    one runs before; ``name``, ``start`` and ``join`` are for simple-websocket.
    """

    def __init__(self) -> None:
        """Raises NoThreadError."""
        self.name = "eventbus-reader (_thread)"
        self._target: Callable[[], None] | None = None
        self._is_decided = threading.Event()
        self._thread = threading.Thread(target=self._run, name="eventbus-reader", daemon=True)
        start_thread(self._thread)

    def take(self, target: Callable[[], None]) -> Reader:
        """Give it its work, which begins with ``start``."""
        self._target = target
        return self

    def start(self) -> None:
        """Begin."""
        self._is_decided.set()

    def join(self, timeout: float | None = None) -> None:
        """Wait for the end of its work."""
        self._thread.join(timeout)

    def dismiss(self) -> None:
        """End it when it was never started."""
        if not self._is_decided.is_set():
            self._target = None
            self._is_decided.set()

    def _run(self) -> None:
        self._is_decided.wait()
        if self._target is not None:
            self._target()
