"""RemoteEventBus: publishes to a bus in another process, in the background, whatever happens."""

from __future__ import annotations

import atexit
import logging
import os
import random
import threading
import time
import weakref
from collections import deque
from collections.abc import Mapping
from datetime import datetime, timedelta
from types import TracebackType
from typing import Any, Self

from eventbus.client.endpoint import Accepted, Endpoint, Refused, Unavailable
from eventbus.client.notices import Notices
from eventbus.client.outbox import ClientStats, Outbox
from eventbus.client.receipt import RemoteReceipt
from eventbus.errors import BusClosedError
from eventbus.event import Event
from eventbus.scheduled import ScheduledEvent
from eventbus.validation import MAX_EVENT_BYTES

DEFAULT_SOURCE = "/remote"
EXIT_TIMEOUT_S = 2.0
MAX_BATCH_BYTES = 1_000_000  # an eighth of what a bus accepts in one request by default
_CLOSING_BACKOFF_S = 0.25

log = logging.getLogger("eventbus.client")


class RemoteEventBus:
    """The publishing side of an event bus that runs elsewhere, at ``url``.

    ``publish`` only puts the event into a bounded queue, so it never waits for the network and
    never fails because of it: use it from any thread and from coroutines. A daemon thread,
    ``eventbus-client``, sends the events in order and in batches, and repeats a batch until the
    bus confirms it; ids are given at ``publish``, so an event is recorded once however often it
    is sent. When the queue is full the oldest events are dropped; ``stats`` counts exactly, and
    the log says once when the bus is away and once when it is back.

    At the end of the process up to 2 s are spent on what is still pending. A forked child starts
    with an empty queue; one that ends by ``os._exit``, as those of multiprocessing do, must call
    ``close`` itself.
    """

    def __init__(
        self,
        url: str,
        *,
        source: str = DEFAULT_SOURCE,
        max_pending: int = 10_000,
        max_pending_bytes: int = 64 * 1024 * 1024,
        batch_size: int = 200,
        linger_s: float = 0.1,
        timeout_s: float = 10.0,
        backoff_first_s: float = 0.25,
        backoff_max_s: float = 10.0,
        max_event_bytes: int = MAX_EVENT_BYTES,
    ) -> None:
        """``source`` is that of events published without one.

        A batch is sent when it has ``batch_size`` events or its first one is ``linger_s`` old;
        ``timeout_s`` bounds each wait for the network; the waits between attempts double from
        ``backoff_first_s`` to ``backoff_max_s``, with jitter. Nothing is connected before the
        first event. Raises ValueError for a URL or a number that cannot be used.
        """
        for name, value in (("max_pending", max_pending), ("batch_size", batch_size),
                            ("max_pending_bytes", max_pending_bytes), ("timeout_s", timeout_s),
                            ("backoff_first_s", backoff_first_s)):  # fmt: skip
            if value <= 0:
                raise ValueError(f"{name} must be greater than 0, not {value!r}")
        self.url = url
        self.source = source
        self._max_event_bytes = max_event_bytes
        self._linger_s = linger_s
        self._timeout_s = timeout_s
        self._backoff_s = (backoff_first_s, max(backoff_first_s, backoff_max_s))
        # What is on its way is never dropped, so leave room for newer events beside it.
        self._outbox_limits = (
            max_pending, max_pending_bytes, min(batch_size, max(1, max_pending // 2))
        )  # fmt: skip
        self._batch_size = self._outbox_limits[2]
        self._start_empty()
        _end_with_the_process(self)

    def _start_empty(self) -> None:
        self._endpoint = Endpoint(self.url, self._timeout_s)
        self._outbox = Outbox(*self._outbox_limits)
        self._notices = Notices(self.url, self._outbox_limits[0])
        self._thread: threading.Thread | None = None
        self._is_closed = False  # takes no more events; guarded, as all below, by outbox.changed
        self._is_patient = True  # while closing: whether a failure is worth another attempt
        self._abandoned = threading.Event()  # nobody waits for what is left
        self._hurries = 0  # how often somebody asked to send now, and which events
        self._wanted_now = 0

    # -- publishing --------------------------------------------------------------------------

    def publish(
        self,
        type: str,
        data: Mapping[str, Any] | None = None,
        *,
        source: str | None = None,
        subject: str | None = None,
        id: str | None = None,
        time: datetime | str | None = None,
        dataschema: str | None = None,
        traceparent: str | None = None,
        correlationid: str | None = None,
        causationid: str | None = None,
        delay: float | timedelta | None = None,
        at: datetime | str | None = None,
    ) -> RemoteReceipt:
        """Queue an event and return at once; see ``EventBus.publish`` for the parameters.

        A ``delay`` counts from when the bus has taken the event, so it never ends too early.

        Raises EventValidationError, and BusClosedError after ``close``.
        """
        event = Event.create(
            type, data, source=source or self.source, subject=subject, id=id, time=time,
            dataschema=dataschema, traceparent=traceparent, correlationid=correlationid,
            causationid=causationid, max_bytes=self._max_event_bytes,
        )  # fmt: skip
        if delay is not None or at is not None:
            event = ScheduledEvent.of(event, delay=delay, at=at, is_timed=time is not None)
        return self.publish_event(event)

    def publish_event(self, event: Event) -> RemoteReceipt:
        """Queue an event made by ``Event.create``; otherwise as ``publish``."""
        with self._outbox.changed:
            if self._is_closed:
                raise BusClosedError(f"the client of the bus at {self.url} is closed")
            receipt = self._outbox.add(event)
            if self._thread is None or not self._thread.is_alive():
                self._start_thread()
            return receipt

    @property
    def stats(self) -> ClientStats:
        """What has become of the events so far."""
        return self._outbox.stats

    def flush(self, timeout: float | None = None) -> bool:
        """Send now; wait until everything published before is settled.

        That is recorded, refused or dropped. False when it is not after ``timeout`` seconds. It
        blocks, so from a coroutine: ``await asyncio.to_thread(bus.flush, 5.0)``.
        """
        outbox = self._outbox
        with outbox.changed:
            last = self._wanted_now = outbox.stats.published
            self._hurry()
            return outbox.changed.wait_for(lambda: outbox.is_settled_through(last), timeout)

    def close(self, timeout: float = EXIT_TIMEOUT_S) -> bool:
        """Take no more events, send what is pending for up to ``timeout`` s, drop the rest.

        What is dropped is counted and logged. True when nothing had to be. Idempotent.
        """
        return self._close(timeout, is_patient=True)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def _close(self, timeout: float, is_patient: bool) -> bool:
        outbox = self._outbox
        with outbox.changed:
            self._is_closed = True
            self._is_patient = is_patient
            self._hurry()
            thread = self._thread
        if thread is not None:
            thread.join(timeout)
        with outbox.changed:
            self._abandoned.set()
            lost = outbox.drop_all("the client was closed before the bus had confirmed it")
        self._endpoint.abort()
        if lost:
            self._notices.given_up(lost)
        return not lost

    def close_at_exit(self, timeout: float) -> None:
        """As ``close``, but with a single attempt when the bus is known to be away.

        No process should take longer to end because its spectator has gone.
        """
        self._close(timeout, is_patient=not self._notices.is_away)

    def empty_after_fork(self) -> None:
        """Start afresh in a forked child.

        The parent's thread and connection do not live there, its locks may be held by nobody, and
        its events are its own to send.
        """
        was_closed = self._is_closed
        self._start_empty()
        self._is_closed = was_closed

    # -- sending -----------------------------------------------------------------------------

    def _start_thread(self) -> None:
        self._thread = threading.Thread(target=self._run, name="eventbus-client", daemon=True)
        try:
            self._thread.start()
        except RuntimeError as error:
            # At the end of the interpreter no thread starts any more; closing drops and counts.
            self._thread = None
            log.debug("events wait unsent: %s", error)

    def _run(self) -> None:
        while True:
            try:
                batch = self._next_batch()
                if batch is None:
                    return
                self._deliver(batch)
            except Exception:
                # Not for anything that a network does, so a mistake here; the events of the
                # batch are lost to it, the later ones must not be.
                log.exception("sending to the event bus at %s failed", self.url)
                self._outbox.drop_taken("an error in the client")

    def _next_batch(self) -> list[RemoteReceipt] | None:
        """Wait for the next batch; None when there will be no more."""
        outbox = self._outbox
        with outbox.changed:
            while not self._abandoned.is_set():
                count = outbox.waiting_count
                left_s = outbox.waiting_since + self._linger_s - time.monotonic()
                is_due = left_s <= 0 or self._is_closed or outbox.first_waiting <= self._wanted_now
                if count >= self._batch_size or (count and is_due):
                    return outbox.take(MAX_BATCH_BYTES)
                if self._is_closed and not count:
                    return None
                outbox.changed.wait(left_s if count else None)
            return None

    def _deliver(self, batch: list[RemoteReceipt]) -> None:
        """Send a batch until each of its events is recorded, refused or given up."""
        pieces = deque([batch])
        failures = 0
        while pieces and not self._abandoned.is_set():
            piece = pieces[0]
            hurries = self._hurries
            outcome = self._endpoint.post([receipt.event for receipt in piece])
            if self._abandoned.is_set():
                return
            if isinstance(outcome, Unavailable):
                self._notices.failed(outcome.reason, self._outbox.stats)
                if self._is_closed and not self._is_patient:
                    self._abandoned.set()
                    return
                self._pause(failures, outcome.retry_after_s, hurries)
                failures += 1
                continue
            failures = 0
            pieces.popleft()
            # Said before it is settled, so that who waits for that finds it said.
            if isinstance(outcome, Accepted):
                self._notices.answered(self._outbox.stats, len(piece))
                self._outbox.settle_sent(zip(piece, outcome.events, strict=True))
            else:
                self._notices.answered(self._outbox.stats, 0)
                pieces.extendleft(reversed(self._without_refused(piece, outcome)))

    def _without_refused(
        self, piece: list[RemoteReceipt], refused: Refused
    ) -> list[list[RemoteReceipt]]:
        """What of a refused batch to send again, in order."""
        culprits = refused.culprits
        if len(piece) == 1:
            culprits = {0: culprits.get(0, refused.reason)}
        if not culprits:  # the answer names none: halve it until only the wrong ones are refused
            middle = len(piece) // 2
            return [piece[:middle], piece[middle:]]
        for index, reason in sorted(culprits.items()):
            event = piece[index].event
            self._notices.refused(event.id, event.type, reason)
            self._outbox.settle_refused(piece[index], reason)
        rest = [receipt for index, receipt in enumerate(piece) if index not in culprits]
        return [rest] if rest else []

    def _pause(self, failures: int, at_least_s: float, hurries: int) -> None:
        """Wait before the next attempt; flush and close cut it short."""
        first_s, most_s = self._backoff_s
        delay_s = max(min(first_s * 2.0 ** min(failures, 30), most_s), min(at_least_s, most_s))
        delay_s *= random.uniform(0.75, 1.25)
        with self._outbox.changed:
            if self._is_closed:
                delay_s = min(delay_s, _CLOSING_BACKOFF_S)
                hurries = self._hurries
            self._outbox.changed.wait_for(
                lambda: self._abandoned.is_set() or self._hurries != hurries, delay_s
            )

    def _hurry(self) -> None:
        self._hurries += 1
        self._outbox.changed.notify_all()


_clients: weakref.WeakSet[RemoteEventBus] = weakref.WeakSet()
_is_hooked = False


def _end_with_the_process(client: RemoteEventBus) -> None:
    """Have ``client`` flushed at exit and emptied in a forked child."""
    global _is_hooked
    _clients.add(client)
    if not _is_hooked:
        _is_hooked = True
        atexit.register(_close_all)
        if hasattr(os, "register_at_fork"):  # not on Windows, which does not fork
            os.register_at_fork(after_in_child=_empty_all)


def _close_all() -> None:
    deadline = time.monotonic() + EXIT_TIMEOUT_S
    for client in list(_clients):
        client.close_at_exit(max(0.0, deadline - time.monotonic()))


def _empty_all() -> None:
    for client in list(_clients):
        client.empty_after_fork()
