"""The app in a system that gives no thread to a WebSocket, until ``/api/events`` gets one event."""

from __future__ import annotations

import threading

from app import create_app

_start = threading.Thread.start


def _refuse(thread: threading.Thread) -> None:
    if thread.name == "eventbus-reader" and app.extensions["eventbus"].bus.log.last_sequence == 0:
        raise RuntimeError("can't start new thread")
    _start(thread)


threading.Thread.start = _refuse  # type: ignore[method-assign]
app = create_app()
