"""The rebuilds and checks of the read models that are asked for on the running server."""

from __future__ import annotations

import logging
import threading
import time
from contextlib import suppress

from app.rebuild_news import STOP, Told, described, is_later, newest, news
from eventbus import EventBus
from eventbus.actor import signed
from eventbus.errors import EventBusError, LogReadError, RebuildError
from eventbus.event import Event
from eventbus.log.unit import Unit
from eventbus.rebuild import Progress, Rebuild
from handlers import HandlerSettings
from handlers.rebuild import rebuild

STARTED, FINISHED = "bus.rebuild.started", "bus.rebuild.finished"
STOPPED = "bus.rebuild.stopped"
SOURCE = "/rebuild"
UNDER_WAY = "a rebuild or a check is under way; wait for its end, or stop it"
_STOP_S = 1.0
# The last words of one that has ended; whoever asks for the next one waits for them.
_END_S = 5.0
_STOP_WITHIN_S = 2.0
_TELL_EVERY_S = 1.0
# Who has said nothing for so long may have ended.
_SILENT_S = 5.0
_POLL_S = 0.05

log = logging.getLogger(__name__)


class Rebuilds:
    """At most one at a time, on the thread "eventbus-rebuild"; any thread may ask.

    Of processes that share a log one has it; it tells the others how far it is, and they can have
    it stopped.
    """

    def __init__(self, bus: EventBus, settings: HandlerSettings) -> None:
        self._bus = bus
        self._settings = settings
        self._lock = threading.Lock()  # guards the two below
        self._job: Rebuild | None = None
        self._thread: threading.Thread | None = None
        self._heard: Told | None = None  # replaced as a whole
        self._heard_at = 0.0
        bus.log.change_listeners.append(self._hear)

    @property
    def progress(self) -> Told | None:
        """Of the one that runs or ran last, in whichever process of the log; None before any."""
        job, heard = self._job, self._heard
        own = None if job is None else described(job.progress)
        if heard is None or (own is not None and own["started_at"] >= heard["started_at"]):
            return own
        return self._if_alive(heard)

    def start(self, *, is_check: bool, by: str) -> Told:
        """Begin one, for the person ``by``. Raises RebuildError when one is under way."""
        with self._lock:
            if self._job is not None and self._thread is not None:
                self._thread.join(_END_S if self._job.progress.is_over else 0.0)
                if self._thread.is_alive():
                    raise RebuildError(UNDER_WAY)
            self._take()
            try:
                job = rebuild(self._bus, self._settings, is_check=is_check)
                if not is_check:
                    self._bus.publish_event(started(by)).wait()
                self._job = job
                self._tell(job)
                self._thread = threading.Thread(
                    target=self._run, args=(job, by), name="eventbus-rebuild", daemon=True
                )
                self._thread.start()
            except BaseException:
                self._bus.log.rebuilding.free()
                raise
        return described(job.progress)

    def stop(self, by: str) -> Told | None:
        """Have the one that runs end, for the person ``by``; what is known of it then."""
        found = self.progress
        if found is None or found["finished_at"] is not None:
            return found
        self._bus.publish_event(_event(STOPPED, {**signed(by), "check": found["is_check"]})).wait()
        job = self._job
        if job is not None and not job.progress.is_over:
            job.stop()
        else:
            self._bus.log.commit(Unit(call=lambda conn: None, topic=STOP))
        deadline = time.monotonic() + _STOP_WITHIN_S
        while found is not None and found["finished_at"] is None and time.monotonic() < deadline:
            time.sleep(_POLL_S)
            found = self.progress
        return found

    def close(self) -> None:
        """Stop what runs."""
        with self._lock:
            if self._job is not None and self._thread is not None:
                self._job.stop()
                self._thread.join(_STOP_S)

    def _take(self) -> None:
        """Be the process that does it. Raises RebuildError, LogReadError."""
        known = self.progress
        is_ending = known is None or known["finished_at"] is not None
        deadline = time.monotonic() + (_STOP_WITHIN_S if is_ending else 0.0)
        while not self._bus.log.rebuilding.take():
            if time.monotonic() >= deadline:
                raise RebuildError(UNDER_WAY)
            time.sleep(_POLL_S)

    def _run(self, job: Rebuild, by: str) -> None:
        is_over = threading.Event()
        teller = threading.Thread(
            target=self._keep_telling, args=(job, is_over), name="eventbus-rebuild-news",
            daemon=True,
        )  # fmt: skip
        if self._bus.log.channel:
            teller.start()
        try:
            job.run()
        except EventBusError as error:
            log.error("a rebuild failed: %s", error)
        except Exception:
            log.exception("a rebuild failed")
        is_over.set()
        if self._bus.log.channel:
            teller.join()
        self._tell(job)
        if not job.progress.is_check:
            try:
                self._bus.publish_event(finished(by, job.progress)).wait()
            except EventBusError as error:
                log.warning("the end of a rebuild could not be recorded: %s", error)
        self._bus.log.rebuilding.free()

    def _keep_telling(self, job: Rebuild, is_over: threading.Event) -> None:
        while not is_over.wait(_TELL_EVERY_S):
            self._tell(job)

    def _tell(self, job: Rebuild) -> None:
        if self._bus.log.channel:
            with suppress(EventBusError):  # the next word comes soon
                self._bus.log.commit(Unit(call=lambda conn: None, topic=news(job.progress)))

    def _hear(self, topics: set[str]) -> None:
        if STOP in topics and self._job is not None:
            self._job.stop()
        told = newest(topics)
        if told is not None:
            self._heard_at = time.monotonic()
            if is_later(told, self._heard):
                self._heard = told

    def _if_alive(self, heard: Told) -> Told:
        """What another process told last, unless it ended without a word."""
        is_silent = time.monotonic() - self._heard_at > _SILENT_S
        if heard["finished_at"] is not None or not is_silent:
            return heard
        try:
            if self._bus.log.rebuilding.is_held():
                return heard
        except LogReadError:
            return heard
        ended = described(Progress(heard["is_check"], finished_at=time.time()))["finished_at"]
        error = "the process that ran it has ended"
        return {**heard, "state": "failed", "error": error, "finished_at": ended}


def started(by: str) -> Event:
    """That somebody had the read models rebuilt, for the audit trail."""
    return _event(STARTED, signed(by))


def finished(by: str, progress: Progress) -> Event:
    """How it ended."""
    data = {
        **signed(by), "state": progress.state, "position": progress.position,
        "handled": progress.handled, "differences": progress.differences,
        "held_ms": progress.held_ms, "error": progress.error,
    }  # fmt: skip
    return _event(FINISHED, data)


def _event(type: str, data: dict[str, object]) -> Event:
    return Event.create(type, data, source=SOURCE, subject="read-models")
