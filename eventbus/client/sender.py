"""The sender: a thread that empties a client's outbox, in order and in batches."""

from __future__ import annotations

import logging
import random
import threading
import time
from collections import deque

from eventbus.client.endpoint import Accepted, Endpoint, Unavailable
from eventbus.client.notices import Notices
from eventbus.client.outbox import Outbox
from eventbus.client.receipt import RemoteReceipt
from eventbus.client.refusals import without_refused

MAX_BATCH_BYTES = 1_000_000  # an eighth of what a bus accepts in one request by default
_CLOSING_BACKOFF_S = 0.25

log = logging.getLogger("eventbus.client")


class Sender:
    """The daemon thread "eventbus-client", which repeats a batch until the bus confirms it.

    All of its state is guarded by ``outbox.changed``.
    """

    def __init__(
        self,
        url: str,
        endpoint: Endpoint,
        outbox: Outbox,
        notices: Notices,
        batch_size: int,
        linger_s: float,
        backoff_s: tuple[float, float],
    ) -> None:
        """A batch is sent when it has ``batch_size`` events or its first is ``linger_s`` old.

        ``backoff_s`` are the first and the longest wait between two attempts; ``url`` is logged.
        """
        self._url = url
        self._endpoint = endpoint
        self._outbox = outbox
        self._notices = notices
        self._batch_size = batch_size
        self._linger_s = linger_s
        self._backoff_s = backoff_s
        self._thread: threading.Thread | None = None
        self.is_closed = False  # nothing more comes into the outbox
        self._is_patient = True  # while closing: whether a failure is worth another attempt
        self._abandoned = threading.Event()  # nobody waits for what is left
        self._hurries = 0  # how often somebody asked to send now, and which events
        self._wanted_now = 0

    def runs_on(self, thread: int | None) -> bool:
        """Whether the thread with this ident is the sender's."""
        sending = self._thread
        return sending is not None and sending.ident == thread

    def hurry(self, upto: int = 0) -> None:
        """Send now what was published up to the event number ``upto``; with the lock held."""
        self._wanted_now = max(self._wanted_now, upto)
        self._hurries += 1
        self._outbox.changed.notify_all()

    def close(self, deadline: float, *, is_patient: bool) -> int:
        """Send what is left until ``deadline``, of the monotonic clock, then drop the rest.

        Returns how many events were dropped. Without ``is_patient`` the first failure ends it.
        """
        outbox = self._outbox
        with outbox.changed:
            self.is_closed = True
            self._is_patient = is_patient
            self.hurry()
            thread = self._thread
        if thread is not None:
            thread.join(max(0.0, deadline - time.monotonic()))
        with outbox.changed:
            self._abandoned.set()
            return outbox.drop_all("the client was closed before the bus had confirmed it")

    def start(self) -> None:
        """See to it that the thread runs; with the lock held."""
        if self._thread is not None and self._thread.is_alive():
            return
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
                log.exception("sending to the event bus at %s failed", self._url)
                self._outbox.drop_taken("an error in the client")

    def _next_batch(self) -> list[RemoteReceipt] | None:
        """Wait for the next batch; None when there will be no more."""
        outbox = self._outbox
        with outbox.changed:
            while not self._abandoned.is_set():
                count = outbox.waiting_count
                left_s = outbox.waiting_since + self._linger_s - time.monotonic()
                is_due = left_s <= 0 or self.is_closed or outbox.first_waiting <= self._wanted_now
                if count >= self._batch_size or (count and is_due):
                    return outbox.take(MAX_BATCH_BYTES)
                if self.is_closed and not count:
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
                if self.is_closed and not self._is_patient:
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
                rest = without_refused(piece, outcome, self._outbox, self._notices)
                pieces.extendleft(reversed(rest))

    def _pause(self, failures: int, at_least_s: float, hurries: int) -> None:
        """Wait before the next attempt; flush and close cut it short."""
        first_s, most_s = self._backoff_s
        delay_s = max(min(first_s * 2.0 ** min(failures, 30), most_s), min(at_least_s, most_s))
        delay_s *= random.uniform(0.75, 1.25)
        with self._outbox.changed:
            if self.is_closed:
                delay_s = min(delay_s, _CLOSING_BACKOFF_S)
                hurries = self._hurries
            self._outbox.changed.wait_for(
                lambda: self._abandoned.is_set() or self._hurries != hurries, delay_s
            )
