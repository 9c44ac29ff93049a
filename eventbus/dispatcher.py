"""The dispatcher: takes what was committed to its lanes, and to the log how each attempt ended."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable

from eventbus.clock import Clock
from eventbus.due import DueQueue
from eventbus.errors import (
    CrashedAttemptError,
    DeliveryReturnedError,
    HandlerTimeoutError,
    LogWriteError,
    RejectError,
)
from eventbus.failures import describe
from eventbus.lane import PAGE, Job, Lane
from eventbus.log.commit import call_soon
from eventbus.log.deliveries import Unfinished
from eventbus.log.eventlog import EventLog
from eventbus.log.unit import Outcome, Unit
from eventbus.log.values import AttemptOutcome, DeliveryState
from eventbus.log.writer import Deliveries
from eventbus.returning import Returns
from eventbus.runner import Run, Runner
from eventbus.watch import Watch
from eventbus.workers import WorkerPool

logger = logging.getLogger("eventbus.dispatcher")

# Events on their way from the committing threads to the loop; beyond it lanes read the log.
_MAX_HANDED_OVER = 10_000
_STORAGE_RETRY_S = 1.0
_DETACH_POLL_S = 0.005


class Dispatcher:
    """Lives on the "eventbus-loop" thread; only ``after_commit`` is called by others.

    A delivery's way: its lane says that it is ready, the runner runs the handler, its outcome
    and effects go to the log as one unit, and when that is committed the lane lets the next
    delivery of the same key go.
    """

    def __init__(
        self,
        log: EventLog,
        loop: asyncio.AbstractEventLoop,
        pool: WorkerPool,
        watch: Watch,
        clock: Clock,
    ) -> None:
        self._log = log
        self._loop = loop
        self._pool = pool
        self._watch = watch
        self._clock = clock
        self.runner = Runner(loop, pool, log.in_flight, self._ended, owner=log, clock=clock)
        self.due = DueQueue(loop, clock)
        self.on_failure: Callable[[Job, BaseException], None] | None = None  # of any attempt
        self.returns = Returns(self.lane_of, self._pump)
        self._lanes: dict[str, Lane] = {}
        self._by_id: dict[int, Lane] = {}
        self._ephemeral: list[Lane] = []
        self._idle_waiters: list[asyncio.Future[None]] = []
        # Counted up by committing threads (under the commit lock) and down by the loop, without
        # a common lock: it may be off by a commit, and only has to keep a bound roughly.
        self._handed_over = 0
        self._taken = 0
        # The newest event that was not handed over; told to the loop once until it has looked, so
        # that nothing piles up while a handler blocks it.
        self._skipped = 0
        self._is_skip_told = False

    @property
    def loop(self) -> asyncio.AbstractEventLoop:
        """The loop on which async handlers run, in the thread "eventbus-loop"."""
        return self._loop

    # -- lanes -------------------------------------------------------------------------------

    def add(self, lane: Lane) -> None:
        """Start to serve a subscription."""
        self._lanes[lane.subscription.name] = lane
        if lane.id is None:
            self._ephemeral = [*self._ephemeral, lane]
        else:
            self._by_id[lane.id] = lane
        # Looked at after the lane can be found: each commit is seen here or handed over to it.
        newest = self._log.last_sequence
        if newest > lane.position:
            lane.skip_to(newest)
            self._pump(lane)

    def remove(self, lane: Lane) -> None:
        """Stop serving a subscription; attempts under way end without effects."""
        lane.is_closed = True
        lane.ready.clear()
        self._lanes.pop(lane.subscription.name, None)
        if lane.id is None:
            self._ephemeral = [known for known in self._ephemeral if known is not lane]
        else:
            self._by_id.pop(lane.id, None)
        self.returns.removed(lane)
        self._check_idle()

    def set_concurrency(self, name: str, concurrency: int) -> None:
        """Let a subscription handle so many events at once from now on; 0 begins no more."""
        lane = self._lanes.get(name)
        if lane is not None:
            lane.concurrency = concurrency
            self.runner.pump(lane)

    async def detach(self, lane: Lane, timeout_s: float) -> None:
        """Begin nothing more, give what runs ``timeout_s`` seconds, stop serving the lane."""
        lane.concurrency = 0
        deadline = self._loop.time() + timeout_s
        while lane.running_count and self._loop.time() < deadline:
            await asyncio.sleep(_DETACH_POLL_S)
        self.remove(lane)

    async def stop(self, timeout_s: float) -> None:
        """Begin nothing more, give what runs ``timeout_s`` seconds, then cut it off.

        What is unfinished stays so in the log.
        """
        self.due.close()
        for lane in self._lanes.values():
            lane.ready.clear()
        await self.runner.close(timeout_s)

    # -- from the log ------------------------------------------------------------------------

    def after_commit(self, recorded: Deliveries, batch: list[Unit]) -> None:
        """Hand a commit over to the loop; called by the committing thread, in commit order."""
        if not self._ephemeral:
            recorded = [entry for entry in recorded if entry[1]]
        units = [unit for unit in batch if isinstance(unit.token, Job)]
        if recorded and self._handed_over - self._taken > _MAX_HANDED_OVER:
            self._skipped = recorded[-1][0].sequence or 0
            recorded = []
            if not self._is_skip_told:
                self._is_skip_told = True
                call_soon(self._loop, self._skip)
        if recorded or units:
            self._handed_over += len(recorded)
            call_soon(self._loop, self._committed, recorded, units)

    def _skip(self) -> None:
        self._is_skip_told = False  # first: what is skipped from here on is told again
        skipped = self._skipped
        for lane in list(self._lanes.values()):
            lane.skip_to(skipped)
            self._pump(lane)

    def _committed(self, recorded: Deliveries, units: list[Unit]) -> None:
        self._taken += len(recorded)
        touched: set[Lane] = set()
        try:
            self._offer(recorded, touched)
        except Exception:  # such as no memory; the log has all of them
            logger.exception("a commit could not be handed over; it is read from the log")
            touched.update(self._lanes.values())
            for lane in touched:
                lane.skip_to(recorded[-1][0].sequence or 0)
        for unit in units:
            touched.add(self._settle(unit))
        for lane in touched:
            self._pump(lane)
        self._check_idle()

    def _offer(self, recorded: Deliveries, touched: set[Lane]) -> None:
        for event, subscriptions in recorded:
            lanes = [self._by_id[key] for key in subscriptions if key in self._by_id]
            lanes += [e for e in self._ephemeral if e.subscription.pattern.matches(event.type)]
            for lane in lanes:
                lane.offer(event)
            touched.update(lanes)

    def _settle(self, unit: Unit) -> Lane:
        """The unit of a job was committed, or could not be."""
        job: Job = unit.token
        lane, outcome = job.lane, unit.outcome
        if lane.is_closed:
            return lane
        if isinstance(unit.error, LogWriteError) or (unit.error and not job.holds_key):
            # The storage's fault, not the handler's: no attempt is used up.
            again = Unit(unit.events, outcome=outcome, effects=unit.effects, token=job)
            self._loop.call_later(_STORAGE_RETRY_S, self._log.submit, again)
        elif unit.error is not None:
            started_us = outcome.started_us if outcome else self._clock.time_ns() // 1_000
            duration_us = outcome.finished_us - started_us if outcome else 0
            self._failed(job, unit.error, started_us, duration_us)
        elif outcome is None:
            lane.succeeded += 1
            lane.release(job)
        else:
            lane.succeeded += outcome.state == "succeeded"
            job.attempt = outcome.attempt
            if outcome.due_us is None:
                lane.release(job)
                self.returns.finished(lane, outcome.sequence)
            else:
                self._retry_later(job, outcome.due_us)
            self._watch.notify(outcome.sequence)
        return lane

    # -- how attempts end --------------------------------------------------------------------

    def _ended(self, run: Run, error: BaseException | None) -> None:
        job, lane = run.job, run.job.lane
        if lane.is_closed:
            return
        if isinstance(error, DeliveryReturnedError):
            lane.ready.appendleft(job)
            self._pump(lane)
            return
        # Monotonic: a clock that is set must not give a duration that is negative or of hours.
        duration_us = int((self._clock.monotonic() - run.started) * 1e6)
        if error is not None:
            self._failed(job, error, run.started_us, duration_us)
            return
        lane.durations_ms.append(duration_us / 1_000)
        effects = run.effects
        if not effects.events and not effects.changes:
            # Nothing that the next delivery of this key could miss: it need not wait for the
            # commit. Should a crash come before that, both are delivered again, in order.
            lane.let_next(job)
            self.runner.pump(lane)
        if lane.id is not None:
            outcome = Outcome(
                job.event.sequence or 0, lane.id, "succeeded", job.attempt + 1,
                run.started_us, run.started_us + duration_us,
            )  # fmt: skip
            self._log.submit(
                Unit(effects.events, outcome=outcome, effects=effects.changes, token=job)
            )
        elif effects.events or effects.changes:
            self._log.submit(Unit(effects.events, effects=effects.changes, token=job))
        else:
            lane.succeeded += 1
            lane.release(job)
            self._pump(lane)
            self._check_idle()

    def _failed(self, job: Job, error: BaseException, started_us: int, duration_us: int) -> None:
        """Count a failed attempt: the delivery is retried later, or dead."""
        lane, event = job.lane, job.event
        policy = lane.subscription.policy
        number = job.attempt + 1
        error_class, message, trace = describe(error)
        now_us = self._clock.time_ns() // 1_000
        is_dead = number >= policy.max_attempts or isinstance(error, RejectError)
        due_us = None if is_dead else now_us + int(policy.delay_s(number) * 1e6)
        kind: AttemptOutcome = "timeout" if isinstance(error, HandlerTimeoutError) else "failed"
        if isinstance(error, CrashedAttemptError):
            kind = "crashed"
        lane.failures += 1
        lane.durations_ms.append(duration_us / 1_000)
        if self.on_failure is not None:
            self.on_failure(job, error)
        logger.log(
            logging.ERROR if is_dead else logging.WARNING,
            "%s failed for %s event %s, attempt %d of %d, %s: %s: %s",
            lane.subscription.name, event.type, event.id, number, policy.max_attempts,
            "dead letter" if is_dead else "will be retried", error_class, message,
        )  # fmt: skip
        if lane.id is not None:
            state: DeliveryState = "dead" if is_dead else "retrying"
            self._log.submit(Unit(token=job, outcome=Outcome(
                event.sequence or 0, lane.id, state, number, started_us, started_us + duration_us,
                due_us, kind, error_class, message, trace,
            )))  # fmt: skip
        elif due_us is not None:
            job.attempt = number
            self._retry_later(job, due_us)
        else:
            lane.release(job)
            self._pump(lane)
        self._check_idle()

    # -- retries -----------------------------------------------------------------------------

    def _retry_later(self, job: Job, due_us: int) -> None:
        job.lane.wait_for_retry(job, due_us)
        self._schedule(job, due_us)

    def _schedule(self, job: Job, due_us: int) -> None:
        self.due.add(due_us, job.lane.subscription.policy.longest_delay_s, self._retry, job)

    def _retry(self, job: Job) -> None:
        if not job.lane.is_closed:
            job.lane.retry(job)
            self._pump(job.lane)

    # -- catching up from the log ------------------------------------------------------------

    def _pump(self, lane: Lane) -> None:
        self.runner.pump(lane)
        if lane.unread and not lane.will_read_again:
            lane.will_read_again = True
            self._loop.call_later(_STORAGE_RETRY_S, self._read_again, lane)
        if not lane.wants_page():
            return
        lane.is_loading = True
        after = lane.position

        def read() -> None:
            try:
                page = self._read_page(lane, after)
            except Exception:
                logger.exception("%s could not read on from %d", lane.subscription.name, after)
                page = ([], after, False)
            call_soon(self._loop, self._loaded, lane, *page)

        try:
            self._pool.submit(read)
        except RuntimeError:
            logger.exception("%s has no thread to read on from %d", lane.subscription.name, after)
            self._loop.call_soon(self._loaded, lane, [], after, False)

    def _read_again(self, lane: Lane) -> None:
        if not lane.is_closed:
            lane.read_again()
            self._pump(lane)
            self._check_idle()

    def _read_page(self, lane: Lane, after: int) -> tuple[list[Unfinished], int, bool]:
        """Deliveries after a sequence, how far the log was read, whether that was to its end."""
        end = self._log.last_sequence
        if lane.id is not None:
            page = self._log.delivery_reader.unfinished(lane.id, after, PAGE)
            if len(page) == PAGE:
                return page, page[-1].event.sequence or 0, False
            return page, max(after, end), True
        chunk = self._log.read(after, PAGE, lane.subscription.pattern)
        return [Unfinished(event, 0, None) for event in chunk.events], chunk.position, True

    def _loaded(self, lane: Lane, page: list[Unfinished], position: int, is_last: bool) -> None:
        lane.is_loading = False
        if lane.is_closed:
            return
        taken = self.returns.without(lane, page)
        for job in lane.take_page(taken, position, is_last):
            self._schedule(job, job.due_us or 0)
        if not page and not is_last:  # the read failed: not again at once
            self._loop.call_later(_STORAGE_RETRY_S, self._pump, lane)
        else:
            self._pump(lane)
        self._check_idle()

    # -- being idle --------------------------------------------------------------------------

    async def wait_idle(self) -> None:
        """Return when nothing is left to do but to wait for retries."""
        if not all(lane.is_idle for lane in self._lanes.values()):
            waiter: asyncio.Future[None] = self._loop.create_future()
            self._idle_waiters.append(waiter)
            await waiter

    def _check_idle(self) -> None:
        if self._idle_waiters and all(lane.is_idle for lane in self._lanes.values()):
            waiters, self._idle_waiters = self._idle_waiters, []
            for waiter in waiters:
                if not waiter.done():
                    waiter.set_result(None)

    def lane_of(self, id: int) -> Lane | None:
        """The lane that serves a durable subscription, by its id; on the loop."""
        return self._by_id.get(id)

    def lanes(self) -> dict[str, Lane]:
        """The lanes that are served, by subscription name; a snapshot."""
        return dict(self._lanes)
