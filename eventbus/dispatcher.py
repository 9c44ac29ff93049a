"""The dispatcher: takes what was committed to its lanes, and to the log how each attempt ended."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable

from eventbus.clock import Clock
from eventbus.due import DueQueue
from eventbus.effects import Effects
from eventbus.errors import (
    DeliveryReturnedError,
    DeliveryTakenError,
    LogWriteError,
    RejectError,
)
from eventbus.failed_attempt import kind_of, log_failure
from eventbus.failures import describe
from eventbus.handover import Handover
from eventbus.lane import Job, Lane
from eventbus.lane_reader import LaneReader
from eventbus.log.deliveries import Unfinished
from eventbus.log.eventlog import EventLog
from eventbus.log.unit import Outcome, Success, Unit
from eventbus.log.values import DeliveryState
from eventbus.log.writer import Deliveries
from eventbus.retries import Retries
from eventbus.returning import Returns
from eventbus.runner import Run, Runner
from eventbus.watch import Watch
from eventbus.workers import WorkerPool

logger = logging.getLogger("eventbus.dispatcher")

_STORAGE_RETRY_S = 1.0
_TAKEN_RETRY_US = 1_000_000
_DETACH_POLL_S = 0.005
# How long a success with no effects waits for a commit that something else asks for: nobody waits
# for it, and a commit of its own would cost as much as that of an event.
_PATIENCE_S = 0.004
_MOST_PATIENT = 1_000


class Dispatcher:
    """Lives on the "eventbus-loop" thread; what others commit comes by its ``handover``.

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
        self.pool = pool
        self._watch = watch
        self._clock = clock
        self.runner = Runner(loop, pool, log.recorders, self._ended, owner=log, clock=clock)
        self.due = DueQueue(loop, clock)
        self.retries = Retries(self.due, self._pump)
        self.on_failure: Callable[[Job, BaseException], None] | None = None  # of any attempt
        self.logs_payloads = False  # of events whose handlers fail
        self.returns = Returns(self.lane_of, self._pump)
        self._reader = LaneReader(log, loop, pool, self.returns.without, self._was_read)
        self.handover = Handover(loop, self._committed, self._skip)
        self._lanes: dict[str, Lane] = {}
        self._by_id: dict[int, Lane] = {}
        self._ephemeral: list[Lane] = []
        self._idle_waiters: list[asyncio.Future[None]] = []
        # Deliveries that succeeded without effects: submitted together, once in a turn.
        self._succeeded: list[Job] = []
        self._successes: list[Success] = []
        self._is_hurry_due = False
        self._is_owed = False  # some of them, by the log

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
            self.handover.wants_all = True
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
            self.handover.wants_all = bool(self._ephemeral)
        else:
            self._by_id.pop(lane.id, None)
            self.runner.forget(lane.id)
        self.returns.removed(lane)
        self._check_idle()

    def set_concurrency(self, name: str, concurrency: int) -> None:
        """Let a subscription handle so many events at once from now on; 0 begins no more."""
        lane = self._lanes.get(name)
        if lane is not None and lane.concurrency != concurrency:
            lane.concurrency = concurrency
            self.runner.pump(lane)

    def look_again(self, name: str) -> None:
        """Take note that a subscription was paused or resumed."""
        if name in self._lanes:
            self._pump(self._lanes[name])
        self._check_idle()

    async def detach(self, lane: Lane, timeout_s: float) -> None:
        """Begin nothing more, give what runs ``timeout_s`` seconds, stop serving the lane."""
        lane.concurrency = 0
        deadline = self._loop.time() + timeout_s
        while lane.running_count and self._loop.time() < deadline:
            await asyncio.sleep(_DETACH_POLL_S)
        self._submit_successes()  # how its attempts ended is queued when this returns
        self.remove(lane)

    async def stop(self, timeout_s: float) -> None:
        """Begin nothing more, give what runs ``timeout_s`` seconds, then cut it off.

        What is unfinished stays so in the log.
        """
        self.due.close()
        for lane in self._lanes.values():
            lane.ready.clear()
        await self.runner.close(timeout_s)
        self._submit_successes()
        if self._is_owed:
            self._ask_for_owed()

    # -- from the log ------------------------------------------------------------------------

    def _skip(self, skipped: int) -> None:
        for lane in list(self._lanes.values()):
            lane.skip_to(skipped)
            self._pump(lane)

    def _committed(self, recorded: Deliveries, units: list[Unit]) -> None:
        touched: set[Lane] = set()
        try:
            self._offer(recorded, touched)
        except Exception:  # such as no memory; the log has all of them
            logger.exception("a commit could not be handed over; it is read from the log")
            touched.update(self._lanes.values())
            for lane in touched:
                lane.skip_to(recorded[-1][0].sequence or 0)
        for unit in units:
            if isinstance(unit.token, list):
                self._settle_successes(unit, touched)
            else:
                touched.add(self._settle(unit))
        for lane in touched:
            self._pump(lane)
        self._check_idle()

    def _offer(self, recorded: Deliveries, touched: set[Lane]) -> None:
        by_id = self._by_id
        for event, subscriptions in recorded:
            for key in subscriptions:
                lane = by_id.get(key)
                if lane is not None:
                    lane.offer(event)
                    touched.add(lane)
            for lane in self._ephemeral:
                if lane.subscription.pattern.matches(event.type):
                    lane.offer(event)
                    touched.add(lane)

    def _settle_successes(self, unit: Unit, touched: set[Lane]) -> None:
        """Deliveries without effects were committed as succeeded, or could not be."""
        if unit.error is not None:  # the storage's fault: these rows can break no rule
            # The next commit has them, whoever makes it; this is for when nobody does.
            if not self._is_owed:
                self._is_owed = True
                self._loop.call_later(_STORAGE_RETRY_S, self._ask_for_owed)
            return
        for job in unit.token:
            lane = job.lane
            if not lane.is_closed:
                lane.succeeded += 1
                lane.release(job)
                self.returns.finished(lane, job.sequence)
                touched.add(lane)
        self._watch.notify_many([job.sequence for job in unit.token])

    def _settle(self, unit: Unit) -> Lane:
        """The unit of a job was committed, or could not be."""
        job: Job = unit.token
        lane, outcome = job.lane, unit.outcome
        if lane.is_closed:
            return lane
        if isinstance(unit.error, LogWriteError):
            # The storage's fault, not the handler's: no attempt is used up.
            again = Unit(
                unit.events, outcome=outcome, successes=unit.successes, effects=unit.effects,
                token=job, owns_events=unit.owns_events,
            )  # fmt: skip
            self._loop.call_later(_STORAGE_RETRY_S, self._log.submit, again)
        elif isinstance(unit.error, DeliveryTakenError):
            self._reader.look_up(job, self._taken)
        elif unit.error is not None:
            started_us, duration_us = unit.attempt_time(self._clock.time_ns() // 1_000)
            self._failed(job, unit.error, started_us, duration_us)
        elif outcome is None:
            lane.succeeded += 1
            self._over(job, None)
        else:
            job.attempt = outcome.attempt
            self._over(job, outcome.due_us)
        return lane

    def _taken(self, job: Job, found: Unfinished | None) -> None:
        """How an attempt ended here does not count: go on from what the log has, if anything."""
        due_us = None
        if found is not None:
            job.attempt = found.attempt
            # By then a process that has lost the lease knows it, and does not begin.
            soon_us = self._clock.time_ns() // 1_000 + _TAKEN_RETRY_US
            due_us = max(found.due_us or 0, soon_us)
        self._over(job, due_us)
        self._pump(job.lane)
        self._check_idle()

    def _over(self, job: Job, due_us: int | None) -> None:
        """An attempt has ended, and that is in the log; ``due_us`` is of the next one."""
        if due_us is not None:
            self.retries.later(job, due_us)
        else:
            job.lane.release(job)
            self.returns.finished(job.lane, job.sequence)
        self._watch.notify(job.sequence)

    # -- how attempts end --------------------------------------------------------------------

    def _ended(self, run: Run, error: BaseException | None) -> None:
        job, lane = run.job, run.job.lane
        if lane.is_closed or lane.is_unsubscribed:
            return run.effects.tell_lost() if lane.is_unsubscribed else None
        if isinstance(error, DeliveryReturnedError):
            lane.ready.appendleft(job)
            self._pump(lane)
            return
        # Monotonic: a clock that is set must not give a duration that is negative or of hours.
        duration_us = int((run.ended - run.started) * 1e6)
        if error is not None:
            self._failed(job, error, run.started_us, duration_us)
            return
        lane.durations_ms.append(duration_us / 1_000)
        lane.took_us.count(duration_us)
        effects = run.effects
        has_effects = bool(effects.events or effects.changes)
        if not has_effects:
            # Nothing that the next delivery of this key could miss: it need not wait for the
            # commit. Should a crash come before that, both are delivered again, in order.
            lane.let_next(job)
            if lane.id is None:
                lane.succeeded += 1
                lane.release(job)
                self._check_idle()
            if lane.unread or lane.is_behind:
                self._reader.read_on(lane)
            if lane.id is None:
                return
        if lane.id is None:
            self._submit_effects(job, effects, ())
            return
        success = (run.started_us + duration_us, duration_us, job.sequence, lane.id)
        if has_effects:
            self._submit_effects(job, effects, (success,))
            return
        if not self._succeeded:
            self._loop.call_soon(self._submit_successes)
        self._succeeded.append(job)
        self._successes.append(success)

    def _submit_effects(self, job: Job, effects: Effects, successes: tuple[Success, ...]) -> None:
        self._submit_successes()  # first: of this key one may be among them
        self._log.submit(Unit(
            effects.events, successes=successes, effects=effects.changes, token=job,
            owns_events=True,
        ))  # fmt: skip

    def _submit_successes(self) -> None:
        """All that succeeded in this turn of the loop, without a commit of their own if possible.

        The next event's commit takes them along; when none comes, or somebody waits, one is made.
        """
        if not self._succeeded:
            return
        jobs, self._succeeded = self._succeeded, []
        successes, self._successes = self._successes, []
        self._log.submit_patiently(Unit(successes=successes, token=jobs))
        if self._watch.is_watched or self._idle_waiters or len(jobs) > _MOST_PATIENT:
            self._log.hurry()
        elif not self._is_hurry_due:
            self._is_hurry_due = True
            self._loop.call_later(_PATIENCE_S, self._hurry)

    def _ask_for_owed(self) -> None:
        self._is_owed = False
        self._log.submit(Unit(token=[]))

    def _hurry(self) -> None:
        self._is_hurry_due = False
        self._log.hurry()

    def _failed(self, job: Job, error: BaseException, started_us: int, duration_us: int) -> None:
        """Count a failed attempt: the delivery is retried later, or dead."""
        lane = job.lane
        policy = lane.subscription.policy
        number = job.attempt + 1
        error_class, message, trace = describe(error)
        now_us = self._clock.time_ns() // 1_000
        is_dead = number >= policy.max_attempts or isinstance(error, RejectError)
        delay_s = policy.delay_after_s(number, error)
        due_us = None if is_dead else now_us + int(delay_s * 1e6)
        lane.failures += 1
        lane.died += is_dead
        lane.durations_ms.append(duration_us / 1_000)
        lane.took_us.count(duration_us)
        if self.on_failure is not None:
            self.on_failure(job, error)
        log_failure(job, error_class, message, is_dead=is_dead, has_payload=self.logs_payloads)
        if lane.id is not None:
            state: DeliveryState = "dead" if is_dead else "retrying"
            self._submit_successes()
            self._log.submit(Unit(token=job, outcome=Outcome(
                job.sequence, lane.id, state, number, started_us, started_us + duration_us,
                due_us, kind_of(error), error_class, message, trace,
            )))  # fmt: skip
        elif due_us is not None:
            job.attempt = number
            self.retries.later(job, due_us)
        else:
            lane.release(job)
            self._pump(lane)
        self._check_idle()

    # -- catching up from the log ------------------------------------------------------------

    def _pump(self, lane: Lane) -> None:
        self.runner.pump(lane)
        if lane.unread or lane.is_behind:
            self._reader.read_on(lane)

    def _was_read(self, lane: Lane, retrying: list[Job]) -> None:
        for job in retrying:
            self.retries.expect(job)
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
