"""The rebuilds and checks of the read models that are asked for on the running server."""

from __future__ import annotations

import logging
import threading
from dataclasses import fields
from typing import Any

from eventbus import EventBus
from eventbus.actor import signed
from eventbus.errors import EventBusError, RebuildError
from eventbus.event import Event
from eventbus.rebuild import Progress, Rebuild
from handlers import HandlerSettings
from handlers.rebuild import rebuild

STARTED, FINISHED = "bus.rebuild.started", "bus.rebuild.finished"
SOURCE = "/rebuild"
_STOP_S = 1.0

log = logging.getLogger(__name__)


class Rebuilds:
    """At most one at a time, on the thread "eventbus-rebuild"; any thread may ask."""

    def __init__(self, bus: EventBus, settings: HandlerSettings) -> None:
        self._bus = bus
        self._settings = settings
        self._lock = threading.Lock()  # guards the two below
        self._job: Rebuild | None = None
        self._thread: threading.Thread | None = None

    @property
    def progress(self) -> Progress | None:
        """Of the one that runs or ran last; None when there was none since the start."""
        job = self._job
        return None if job is None else job.progress

    def start(self, *, is_check: bool, by: str) -> Progress:
        """Begin one, for the person ``by``. Raises RebuildError when one is under way."""
        with self._lock:
            if self._thread is not None and self._thread.is_alive():
                raise RebuildError("a rebuild or a check is under way; wait for its end")
            job = rebuild(self._bus, self._settings, is_check=is_check)
            if not is_check:
                self._bus.publish_event(started(by)).wait()
            self._job = job
            self._thread = threading.Thread(
                target=self._run, args=(job, by), name="eventbus-rebuild", daemon=True
            )
            self._thread.start()
        return job.progress

    def close(self) -> None:
        """Stop what runs."""
        with self._lock:
            if self._job is not None and self._thread is not None:
                self._job.stop()
                self._thread.join(_STOP_S)

    def _run(self, job: Rebuild, by: str) -> None:
        try:
            job.run()
        except EventBusError as error:
            log.error("a rebuild failed: %s", error)
        except Exception:
            log.exception("a rebuild failed")
        if not job.progress.is_check:
            try:
                self._bus.publish_event(finished(by, job.progress)).wait()
            except EventBusError as error:
                log.warning("the end of a rebuild could not be recorded: %s", error)


def started(by: str) -> Event:
    """That somebody had the read models rebuilt, for the audit trail."""
    return Event.create(STARTED, signed(by), source=SOURCE, subject="read-models")


def finished(by: str, progress: Progress) -> Event:
    """How it ended."""
    data = {
        **signed(by), "state": progress.state, "position": progress.position,
        "handled": progress.handled, "differences": progress.differences,
        "held_ms": progress.held_ms, "error": progress.error,
    }  # fmt: skip
    return Event.create(FINISHED, data, source=SOURCE, subject="read-models")


def described(progress: Progress) -> dict[str, Any]:
    """A progress as the API tells it."""
    shown = {field.name: getattr(progress, field.name) for field in fields(progress)}
    return {**shown, "examples": [str(each) for each in progress.examples]}
