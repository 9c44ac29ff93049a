"""What people do to many deliveries: redrive, discard and replay, in steps, while the bus runs."""

from __future__ import annotations

import logging
import math
import threading
import time
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING

from eventbus.actor import check_actor
from eventbus.errors import BusClosedError, LogWriteError, OperationError
from eventbus.hurrying import hurry
from eventbus.ids import new_id
from eventbus.log import head
from eventbus.log import operations as stored
from eventbus.log.replays import Stretch
from eventbus.log.selections import Chosen, Replayed, Selection
from eventbus.log.subscribers import Subscriber
from eventbus.log.unit import Unit
from eventbus.log.values import (
    DELIVERY_KINDS,
    DeliveryPage,
    DeliveryState,
    Operation,
    OperationKind,
    OperationPage,
    OperationState,
)
from eventbus.loop import refuse_on
from eventbus.operation_events import told
from eventbus.operation_run import Preview, Run, check_rate
from eventbus.operation_steps import DiscardSteps, RedriveSteps, ReplaySteps, Steps
from eventbus.publishing_steps import NextPart, PublishingSteps
from eventbus.serving import OPERATIONS
from eventbus.timestamps import to_microseconds

if TYPE_CHECKING:
    from eventbus.bus import EventBus

logger = logging.getLogger("eventbus.operations")

_STORAGE_RETRY_S = 1.0
_IDLE_S = 60.0
_STOP_WITHIN_S = 5.0
_POLL_S = 0.1
_CLOSE_WITHIN_S = 1.0
# Operations that run at the same time; each holds a place in memory.
_MOST_RUNNING = 100


class Operations:
    """Any thread may call it. The steps run in the thread "eventbus-operations".

    Each step is one short transaction that changes deliveries, notes what they were before, and
    counts itself, so an operation that a crash cuts off goes on at the next start with exact
    counts. Start and end are events of the types ``bus.<kind>.started``, ``.finished``,
    ``.stopped`` and ``.failed``.
    """

    def __init__(self, bus: EventBus) -> None:
        self._bus = bus
        self._log = bus.log
        self._lock = threading.Lock()  # guards _runs, _newest_id and _thread
        self._runs: dict[int, Run] = {}
        self.refused_replays: dict[str, str] = {}
        # What those of a kind publish; None for the kinds that change deliveries.
        self._kinds: dict[OperationKind, NextPart | None] = dict.fromkeys(DELIVERY_KINDS)
        self._wake = threading.Event()
        self._closing = threading.Event()
        self._thread: threading.Thread | None = None
        self._newest_id = 0
        self._log.change_listeners.append(self._changed)

    def start(self) -> None:
        """Go on with what was left running, or another process has begun."""
        with self._log.reading() as conn:
            left = stored.running(conn)
        with self._lock:
            for operation, position in left:
                run = self._runs.get(operation.id)
                if operation.kind not in self._kinds:
                    continue  # until somebody defines it
                if run is None:
                    run = Run(operation, self._steps(operation, position))
                    self._add(run)
                run.stopped_by = run.stopped_by or operation.stopped_by
        self._wake.set()

    def let_go(self) -> None:
        """Another process may go on with what runs here."""
        self._runs = {}

    def _changed(self, topics: set[str]) -> None:
        if head.concerns(topics, OPERATIONS) and self._bus.serving.does(OPERATIONS):
            self.start()

    def close(self) -> None:
        """Stop after the current step; what runs goes on at the next start."""
        self._closing.set()
        self._wake.set()
        if self._thread is not None:
            self._thread.join(_CLOSE_WITHIN_S)

    def define(self, kinds: Mapping[OperationKind, NextPart]) -> None:
        """Have operations of these kinds, which the bus itself knows nothing about, publish what is
        given; those that were left running go on.
        """
        self._kinds = {**self._kinds, **kinds}
        if self._bus.serving.does(OPERATIONS):
            self.start()

    def begin(
        self, kind: OperationKind, selection: Chosen, by: str, reason: str | None, total: int,
        rate: float | None = None,
    ) -> Operation:  # fmt: skip
        """Begin one of a defined kind, about ``total``, of ``rate`` a second at most.

        Raises OperationError, LogWriteError.
        """
        if self._kinds.get(kind) is None:
            raise OperationError(f"nobody has defined operations of the kind {kind!r}")
        return self._begin(kind, selection, by, reason, total, 0, check_rate(rate))

    # -- dead letters ------------------------------------------------------------------------

    def preview(self, kind: OperationKind, selection: Selection) -> Preview:
        """How many dead letters a redrive or a discard would be about. Raises OperationError."""
        return self._preview(kind, selection, self._upto_us())

    def redrive(self, selection: Selection, by: str, reason: str | None = None) -> Operation:
        """Have the selected dead letters delivered again, their attempts counted afresh.

        Those that die while it runs are not selected. Raises OperationError, LogWriteError.
        """
        upto_us = self._upto_us()
        total = self._preview("redrive", selection, upto_us).total
        return self._begin("redrive", selection, by, reason, total, upto_us)

    def discard(self, selection: Selection, by: str, reason: str) -> Operation:
        """Give the selected dead letters up for good. Raises OperationError, LogWriteError."""
        if not isinstance(reason, str) or not reason.strip():
            raise OperationError("discarding needs a reason that says why nobody misses them")
        upto_us = self._upto_us()
        total = self._preview("discard", selection, upto_us).total
        return self._begin("discard", selection, by, reason, total, upto_us)

    def _upto_us(self) -> int:
        # Of a clock that was set back, some died in the future: they are meant too.
        return max(self._now_us(), self._log.dead_letters.newest_us())

    def _preview(self, kind: OperationKind, selection: Selection, upto_us: int) -> Preview:
        counts = self._log.delivery_lists.count(selection, upto_us)
        subscribed = {subscriber.name for subscriber in self._log.subscribers()}
        excluded: dict[str, int] = {}
        if kind == "redrive":
            excluded = {name: n for name, n in counts.items() if name not in subscribed}
            counts = {name: n for name, n in counts.items() if name in subscribed}
        return Preview(sum(counts.values()), counts, excluded)

    # -- replay ------------------------------------------------------------------------------

    def refuse_replay(self, subscription: str, hint: str) -> None:
        """Allow no replay to a subscription that keeps state; ``hint`` says what to do instead."""
        self.refused_replays[subscription] = hint

    def preview_replay(self, replayed: Replayed) -> Preview:
        """How many events a replay would be about. Raises OperationError."""
        own = self._replayable(replayed.subscription)
        stretch = self._stretch(replayed)
        reader = self._log.replay_reader
        total, skipped = reader.count(replayed, own.pattern, own.id, stretch)
        return Preview(total, {replayed.subscription: total} if total else {}, {}, skipped)

    def replay(
        self, replayed: Replayed, by: str, reason: str | None = None, rate: float | None = None
    ) -> Operation:
        """Deliver recorded events again to one durable subscription, ``rate`` a second.

        What is pending or retrying is skipped, and what was discarded. Raises OperationError for
        a subscription that is unknown or keeps state, LogWriteError.
        """
        rate = check_rate(rate)
        own = self._replayable(replayed.subscription)
        stretch = self._stretch(replayed)
        total, _ = self._log.replay_reader.count(replayed, own.pattern, own.id, stretch)
        # What is recorded from now on is delivered anyway.
        bounded = Replayed(
            replayed.subscription, replayed.pattern, stretch.first, stretch.last,
            replayed.since, replayed.until,
        )  # fmt: skip
        position = stretch.first - 1
        return self._begin("replay", bounded, by, reason, total, position, rate)

    def _replayable(self, name: str) -> Subscriber:
        if name in self.refused_replays:
            raise OperationError(
                f"{name!r} keeps state that a second delivery would apply twice; "
                f"{self.refused_replays[name]}"
            )
        for subscriber in self._log.subscribers():
            if subscriber.name == name:
                return subscriber
        raise OperationError(f"no durable subscription is named {name!r}")

    def _stretch(self, replayed: Replayed) -> Stretch:
        replayed.check_ends()
        return self._log.replay_reader.stretch(replayed, self._log.last_sequence)

    # -- retries -----------------------------------------------------------------------------

    def retry_now(self, deliveries: Iterable[tuple[int, str]], by: str) -> list[tuple[int, str]]:
        """Begin the next attempt of deliveries that wait for it; returns which it was begun of.

        Each is a sequence and a subscription. Recorded as ``bus.retry.requested`` before it is
        done. Blocks for the bus's loop. Raises OperationError, LogWriteError, BusClosedError, and
        WaitingError on that loop.
        """
        return hurry(self._bus, deliveries, check_actor(by), self._closing)

    # -- looking and stopping ----------------------------------------------------------------

    def get(self, id: int) -> Operation | None:
        """One operation as it is now, None for an unknown id."""
        with self._log.reading() as conn:
            return stored.get(conn, id)

    def list(self, limit: int = 50, cursor: str | None = None) -> OperationPage:
        """Operations, newest first. Raises CursorError."""
        with self._log.reading() as conn:
            return stored.page(conn, limit, cursor)

    def outcomes(self, id: int, most: int) -> dict[str, int] | None:
        """What has become of its deliveries, also while it runs; None when there are too many."""
        with self._log.reading() as conn:
            return stored.outcomes_so_far(conn, id, most)

    def deliveries(
        self, id: int, limit: int = 50, cursor: str | None = None,
        state: DeliveryState | None = None,
    ) -> DeliveryPage:  # fmt: skip
        """What it has done something to, as it is now, in the order of the log."""
        with self._log.reading() as conn:
            return stored.deliveries(conn, id, limit, cursor, state)

    def stop(self, id: int, by: str) -> Operation | None:
        """End an operation after its current step; what it did stays done. None: unknown id.

        One that has ended stays as it is. Raises WaitingError on the bus's loop.
        """
        refuse_on(self._bus.dispatcher.loop, "operations.stop")
        run = self._runs.get(id)
        if run is not None:
            run.stopped_by = run.stopped_by or by
            self._wake.set()
            run.ended.wait(_STOP_WITHIN_S)
        elif self._log.channel:
            self._log.commit(
                Unit(call=lambda conn: stored.ask_to_stop(conn, id, by), topic=OPERATIONS)
            )
            self.wait(id, _STOP_WITHIN_S)
        return self.get(id)

    def wait(self, id: int, timeout: float | None = None) -> bool:
        """Block until an operation has ended; whether it did within ``timeout`` seconds.

        Raises WaitingError on the bus's loop, which operations need.
        """
        refuse_on(self._bus.dispatcher.loop, "operations.wait")
        run = self._runs.get(id)
        if run is not None or not self._log.channel:
            return run is None or run.ended.wait(timeout)
        until = math.inf if timeout is None else time.monotonic() + timeout
        while (found := self.get(id)) is not None and found.state == "running":
            if time.monotonic() > until or self._closing.wait(_POLL_S):
                return False
        return True

    # -- life of an operation ----------------------------------------------------------------

    def _begin(
        self, kind: OperationKind, selection: Chosen, by: str, reason: str | None,
        total: int, position: int, rate: float | None = None,
    ) -> Operation:  # fmt: skip
        check_actor(by)
        with self._lock:
            if self._closing.is_set():
                raise BusClosedError("the bus is closed; no operation can begin")
            if len(self._runs) >= _MOST_RUNNING:
                raise OperationError(
                    f"{_MOST_RUNNING} operations are running, the most there may be: stop one "
                    "or wait"
                )
            with self._log.reading() as conn:  # primary key
                self._newest_id = max(self._newest_id, stored.newest_id(conn))
            id, now_us = self._newest_id + 1, self._now_us()
            operation = Operation(
                id, kind, "running", selection.to_dict(), by, reason, rate, total, 0, 0,
                self._bus.now(), None, None, None, new_id(),
            )  # fmt: skip
            self._log.commit(Unit(
                [told(operation, "started", self._bus.now(), operation.event_id)],
                call=lambda conn: stored.create(conn, operation, now_us, position),
                topic=OPERATIONS,
            ))  # fmt: skip
            self._newest_id = id
            if self._bus.serving.does(OPERATIONS):
                self._add(Run(operation, self._steps(operation, position)))
        return operation

    def _add(self, run: Run) -> None:
        self._runs[run.operation.id] = run
        if self._thread is None:
            self._thread = threading.Thread(
                target=self._work, name="eventbus-operations", daemon=True
            )
            self._thread.start()
        self._wake.set()

    def _steps(self, operation: Operation, position: int) -> Steps:
        next_part = self._kinds[operation.kind]
        if next_part is not None:
            return PublishingSteps(self._bus, operation, next_part, position)
        if operation.kind == "replay":
            replayed = Replayed.from_dict(operation.selection)
            return ReplaySteps(self._bus, operation, replayed, position, self._closing)
        selection = Selection.from_dict(operation.selection)
        kind = RedriveSteps if operation.kind == "redrive" else DiscardSteps
        return kind(self._bus, operation, selection, position, self._closing)

    def _work(self) -> None:
        while not self._closing.is_set():
            self._wake.clear()
            with self._lock:
                runs = list(self._runs.values())
            for run in runs:
                if run.due <= time.monotonic() and not self._closing.is_set():
                    self._step(run)
            with self._lock:
                next_due = min((run.due for run in self._runs.values()), default=None)
            pause_s = math.inf if next_due is None else max(0.0, next_due - time.monotonic())
            self._wake.wait(min(pause_s, _IDLE_S))  # of a very slow rate no clock can wait the rest

    def _step(self, run: Run) -> None:
        try:
            if run.stopped_by is not None:
                self._end(run, "stopped")
                return
            pause_s = run.steps.step()
            if pause_s is None:
                self._end(run, "finished")
            else:
                run.next_step = time.monotonic() + pause_s
        except BusClosedError:
            return  # it goes on at the next start
        except LogWriteError as error:
            logger.warning("operation %d is held up: %s", run.operation.id, error)
            run.held_until = time.monotonic() + _STORAGE_RETRY_S
        except Exception as error:
            logger.exception("operation %d failed", run.operation.id)
            self._fail(run, f"{type(error).__name__}: {error}")

    def _fail(self, run: Run, why: str) -> None:
        try:
            self._end(run, "failed", why)
        except Exception:
            logger.exception("the end of operation %d could not be recorded", run.operation.id)
            run.held_until = time.monotonic() + _STORAGE_RETRY_S

    def _end(self, run: Run, state: OperationState, error: str | None = None) -> None:
        id, by = run.operation.id, run.stopped_by
        with self._log.reading() as conn:
            now = stored.get(conn, id) or run.operation
        # Nobody else changes its counts, so the event can tell them as the row will have them.
        skipped = now.skipped if state != "finished" else max(now.skipped, now.total - now.done)
        event = told(
            now, state, self._bus.now(), done=now.done, skipped=skipped, stopped_by=by, error=error,
            total=max(now.total, now.done + skipped),
        )  # fmt: skip
        finished_us = self._now_us()
        self._log.commit(Unit(
            [event], call=lambda conn: stored.end(conn, id, state, finished_us, by, error)
        ))  # fmt: skip
        with self._lock:
            self._runs.pop(id, None)
        run.ended.set()

    def _now_us(self) -> int:
        return to_microseconds(self._bus.now())
