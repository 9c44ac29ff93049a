"""The runner: worker tasks that run handlers, as many at a time as a lane allows."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import Any

from eventbus.attempt import call_handler
from eventbus.clock import Clock
from eventbus.effects import Effects
from eventbus.errors import HandlerTimeoutError
from eventbus.lane import Job, Lane
from eventbus.log.commit import call_soon
from eventbus.log.flights import Flight, Flights
from eventbus.log.inflight import InFlight
from eventbus.tracing import Tracing
from eventbus.workers import WorkerPool

_WATCHDOG_S = 0.05
# How long a handler may take to obey its cancellation before its attempt is given up without it.
_CANCEL_GRACE_S = 1.0
# How long a worker goes on with handlers that never suspend before it lets others have the loop.
_SLICE_S = 0.005


class Run:
    """One attempt that is under way."""

    __slots__ = (
        "clock", "effects", "ended", "is_late", "is_over", "is_queued", "job", "started",
        "started_us", "task",
    )  # fmt: skip

    def __init__(
        self, job: Job, owner: object, clock: Clock, task: asyncio.Task[Any] | None
    ) -> None:
        self.job = job
        self.clock = clock
        self.effects = Effects(job.event, job.lane.subscription.name, owner, job.attempt + 1)
        self.begin()
        self.task = task
        self.is_late = False  # told to stop, because its time is up
        self.is_over = False  # reported

    def begin(self) -> None:
        """Its time counts from here."""
        self.started = self.ended = self.clock.monotonic()
        self.started_us = self.clock.time_ns() // 1_000
        self.is_queued = False  # waits for a thread


class Runner:
    """Runs on the dispatcher's loop; ``report`` is called once for each attempt when it ends."""

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        pool: WorkerPool,
        recorders: tuple[InFlight, Flights | None],
        report: Callable[[Run, BaseException | None], None],
        owner: object,
        clock: Clock,
    ) -> None:
        """``recorders`` are told of every attempt, that a crash may cut it off; the second one
        where others share the log. ``owner`` is what the effects of all runs belong to.
        """
        self._owner = owner
        self._clock = clock
        self._loop = loop
        self._pool = pool
        self._in_flight, self._flights = recorders
        if self._flights is not None:
            self._flights.serve(loop, pool.submit)
        self._report = report
        self.tracing: Tracing | None = None
        self._runs: set[Run] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self._is_stopping = False  # nothing new is begun
        self._is_closed = False  # nothing is reported any more
        self._watch()

    @property
    def runs(self) -> list[Run]:
        """The attempts that are under way."""
        return list(self._runs)

    def pump(self, lane: Lane) -> None:
        """Make sure that somebody works on the lane's ready deliveries.

        A worker that is not in a handler will take them by itself: only when all are, and wait
        there, one more is of use.
        """
        lane.is_pump_due = False
        is_needed = lane.ready and lane.running_count >= lane.workers
        if is_needed and lane.has_room(1) and not self._is_stopping:
            lane.workers += 1
            task = self._loop.create_task(self._work(lane))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    def forget(self, subscription: int) -> None:
        """Nothing of a durable subscription's is begun here any more."""
        if self._flights is not None:
            self._flights.forget(subscription)

    async def close(self, timeout_s: float) -> None:
        """Let what runs end within ``timeout_s`` seconds; then cut it off.

        The attempts that were cut off are not reported: they will run again.
        """
        self._is_stopping = True
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=timeout_s)
        self._is_closed = True
        for run in self._runs:
            run.is_over = True
        for task in self._tasks:
            task.cancel()
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=_CANCEL_GRACE_S / 4)

    async def _work(self, lane: Lane) -> None:
        """One worker: takes ready jobs until there are none.

        A handler that never suspends costs no task of its own. When one suspends, the loop comes
        to the pump, which starts the next worker if there is more to do: concurrency grows only
        as far as it is used.
        """
        task = asyncio.current_task()
        began = time.monotonic()
        try:
            while lane.ready and lane.has_room(0) and not (self._is_stopping or lane.is_closed):
                if self._flights is not None and self._must_wait(lane):
                    await self._flights.wait()
                    continue  # what is ready may be another now
                job = lane.ready.popleft()
                if lane.ready and not lane.is_pump_due:
                    lane.is_pump_due = True
                    self._loop.call_soon(self.pump, lane)
                await self._attempt(job, task)
                if time.monotonic() - began > _SLICE_S:
                    await asyncio.sleep(0)
                    began = time.monotonic()
        finally:
            lane.workers -= 1
            self.pump(lane)

    def _must_wait(self, lane: Lane) -> bool:
        if self._flights is None or _is_elsewhere(lane):
            return False
        return self._flights.must_wait(lane.id or 0, lane.ready[0].sequence)

    async def _attempt(self, job: Job, task: asyncio.Task[Any] | None) -> None:
        """Run the handler once and report how that ended."""
        lane = job.lane
        run = Run(job, self._owner, self._clock, task)
        self._runs.add(run)
        lane.running_count += 1
        is_elsewhere = _is_elsewhere(lane)
        slot = -1
        if not is_elsewhere:
            slot = self._in_flight.enter(job.sequence, lane.id or 0, job.attempt)
            if self._flights is not None:
                flight = Flight(lane.id or 0, job.sequence, job.attempt, run.started_us)
                self._flights.begin(flight, lane.ready, bool(lane.suspects))
        error: BaseException | None = None
        try:
            # A copy: what this handler does to the payload is nobody else's business.
            event = job.event.copy()
            if self.tracing is None:
                await call_handler(lane.subscription, event, run.effects, run, self._in_thread)
            else:
                name, attempt = lane.subscription.name, job.attempt + 1
                with self.tracing.handling(event, name, attempt) as run.effects.trace:
                    await call_handler(lane.subscription, event, run.effects, run, self._in_thread)
        except BaseException as raised:  # also SystemExit: a handler must not end the bus
            if self._is_closed and isinstance(raised, asyncio.CancelledError):
                raise
            error = raised  # of one that was cut off nobody is told
        finally:
            if not self._is_closed:
                self._in_flight.leave(slot)
                if self._flights is not None and not is_elsewhere:
                    lane.suspects.discard(job.sequence)
                    self._flights.end(lane.id or 0, job.sequence, bool(lane.suspects))
            self._runs.discard(run)
            lane.running_count -= 1
        while task is not None and task.cancelling():
            task.uncancel()  # the time-out's; the worker itself goes on
        if run.is_late:
            error = _timeout_of(run)
        run.ended = self._clock.monotonic()
        self._end(run, error)

    def _end(self, run: Run, error: BaseException | None) -> None:
        if not run.is_over:
            run.is_over = True
            self._report(run, error)

    def _in_thread(self, run: Run, function: Callable[[], Any]) -> asyncio.Future[Any]:
        lane = run.job.lane
        future: asyncio.Future[Any] = self._loop.create_future()

        def finished(result: Any, error: BaseException | None) -> None:
            if future.cancelled():
                lane.stuck -= 1
                self.pump(lane)
            elif error is None:
                future.set_result(result)
            elif isinstance(error, StopIteration):  # which a future cannot carry
                future.set_exception(RuntimeError(f"the handler raised {error!r}"))
            else:
                future.set_exception(error)

        def work() -> None:
            result: Any = None
            error: BaseException | None = None
            if not future.cancelled():  # given up while all threads were taken
                run.begin()
                try:
                    result = function()
                except BaseException as raised:
                    error = raised
            call_soon(self._loop, finished, result, error)

        def count_stuck(done: asyncio.Future[Any]) -> None:
            if done.cancelled():
                lane.stuck += 1

        future.add_done_callback(count_stuck)
        run.is_queued = True
        self._pool.submit(work)
        return future

    def _watch(self) -> None:
        """Every 50 ms: stop what is over its time, and give up on what does not stop."""
        if self._is_closed:
            return
        now = self._clock.monotonic()
        for run in list(self._runs):
            if run.is_queued:  # it has not begun: that all threads are taken is not its fault
                continue
            over_s = now - run.started - run.job.lane.subscription.policy.timeout_s
            if over_s > 0 and not run.is_late and run.task is not None:
                run.is_late = True
                run.effects.is_open = False
                run.task.cancel()
            elif over_s > _CANCEL_GRACE_S:
                self._end(run, _timeout_of(run))
        self._loop.call_later(_WATCHDOG_S, self._watch)


def _is_elsewhere(lane: Lane) -> bool:
    """Whether a handler's end in this process says nothing about its attempts."""
    return lane.id is None or lane.subscription.is_remote


def _timeout_of(run: Run) -> HandlerTimeoutError:
    timeout_s = run.job.lane.subscription.policy.timeout_s
    return HandlerTimeoutError(f"the handler ran longer than its {timeout_s:g} s")
