"""The event bus: publish, subscribe, and the life of the threads behind them."""

from __future__ import annotations

import asyncio
import itertools
import logging
import threading
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager
from datetime import datetime, timedelta
from typing import Any, Self

from eventbus.catalogue.catalogue import Catalogue, accept
from eventbus.clock import SYSTEM_CLOCK, Clock
from eventbus.dispatcher import Dispatcher
from eventbus.effects import Effects, current_effects
from eventbus.errors import BusClosedError, EffectError, SubscriptionError, WaitingError
from eventbus.event import DEFAULT_SOURCE, Event
from eventbus.extensions import Extension
from eventbus.lane import Lane
from eventbus.log import EventLog
from eventbus.log.schedules import Request
from eventbus.log.unit import Apply, Unit
from eventbus.loop import LoopThread, finishes, refuse_on
from eventbus.operations import Operations
from eventbus.patterns import Pattern
from eventbus.pauses import Pauses
from eventbus.receipt import BatchReceipt, Receipt, already
from eventbus.scheduled import ScheduledEvent, read_events
from eventbus.scheduler import Cancellation, Scheduler
from eventbus.serving import OPERATIONS, Serving
from eventbus.statistics import Running, SubscriptionStats, subscription_stats
from eventbus.subscription import (
    F,
    Handler,
    Key,
    RetryPolicy,
    Subscription,
    decorator,
    new_subscription,
)
from eventbus.timestamps import from_microseconds
from eventbus.trouble import Trouble
from eventbus.validation import MAX_EVENT_BYTES
from eventbus.watch import Watch
from eventbus.watchdog import Watchdog
from eventbus.workers import WorkerPool

logger = logging.getLogger("eventbus")

# What stopping may take beyond the time for handlers; a server has 3 s for all of it.
_STOP_GRACE_S = 0.5


class EventBus:
    """A publish/subscribe bus over a durable log; one per log, one log per process.

    Owns the "eventbus-loop" thread, on which async handlers run, the "eventbus-worker" threads
    for sync ones and, through the log, the "eventbus-writer" thread. Every method may be called
    from any thread; what blocks says so.
    """

    def __init__(
        self,
        log: EventLog,
        *,
        source: str = DEFAULT_SOURCE,
        retry: RetryPolicy | None = None,
        max_event_bytes: int = MAX_EVENT_BYTES,
        clock: Clock = SYSTEM_CLOCK,
        catalogue: Catalogue | None = None,
        share_subscriptions: bool = True,
    ) -> None:
        """``source`` and ``retry`` are defaults; what the ``catalogue`` does not allow is refused.

        ``clock`` is for tests, which bring one that they move themselves. Without
        ``share_subscriptions`` one of several processes serves them all.
        """
        self.log = log
        self._source = source
        self._retry = retry or RetryPolicy()
        self._max_event_bytes = max_event_bytes
        self._clock = clock
        self._stamps = clock is not SYSTEM_CLOCK  # events take their time from it
        self.catalogue = catalogue
        self._check = accept if catalogue is None else catalogue.check
        self._is_closed = self.has_stopped = False  # the latter: nothing is handled any more
        self._subscribe_lock = threading.Lock()
        self._lanes: dict[str, Lane] = {}  # guarded by _subscribe_lock, replaced when changed
        self._anonymous, self._watch = itertools.count(1), Watch()
        self._pool = WorkerPool()
        self._loop_thread = LoopThread()
        self._loop = self._loop_thread.loop
        self.dispatcher = Dispatcher(log, self._loop, self._pool, self._watch, clock)
        self.serving = Serving(
            log, self.dispatcher, self._subscribe_lock, self._put, share_subscriptions
        )
        self.operations = Operations(self)
        self.pauses = Pauses(self)
        self._scheduler = Scheduler(log, self._loop, clock, self.dispatcher.due)
        self.watchdog = Watchdog(log, self._loop_thread, self.dispatcher)
        self._loop_thread.start()
        try:
            log.start(self.dispatcher.handover.after_commit, clock)
            self.watchdog.start()
            self.serving.add_duty(OPERATIONS, self.operations.start, self.operations.let_go)
            if catalogue is not None:
                catalogue.attach(log)
            if log.leases is not None:
                log.leases.start()
        except BaseException:
            self._loop_thread.stop(_STOP_GRACE_S)
            raise
        self._loop.call_soon_threadsafe(self._scheduler.start)

    @classmethod
    def open(cls, url: str = "sqlite:///events.db", **options: Any) -> Self:
        """A bus on the log at ``url`` (``sqlite:///path``; ``sqlite://`` is a temporary file).

        ``options`` are those of the constructor. Raises LogError, LogLockedError, SchemaError,
        NoThreadError.
        """
        log = EventLog(url)
        try:
            return cls(log, **options)
        except BaseException:
            log.close()
            raise

    # -- publishing --------------------------------------------------------------------------

    def publish(
        self,
        type: str,
        data: Mapping[str, Any] | None = None,
        *,
        source: str | None = None, subject: str | None = None, id: str | None = None,
        time: datetime | str | None = None, dataschema: str | None = None,
        traceparent: str | None = None, correlationid: str | None = None,
        causationid: str | None = None, extensions: Mapping[str, Extension] | None = None,
        delay: float | timedelta | None = None, at: datetime | str | None = None,
    ) -> Receipt:  # fmt: skip
        """Record an event and hand it to every matching subscription.

        In a plain thread it returns when the event is durable; on a running event loop it returns
        at once, and ``await receipt`` waits; in a handler the event is part of the handler's
        effects. It is recorded also when nobody waits. With ``delay`` (seconds) or ``at`` it is
        scheduled now and recorded when it is due; see docs/scheduling.md. ``extensions`` are
        CloudEvents attributes that the bus has no meaning for, and keeps.

        Raises EventValidationError, LogWriteError (in a plain thread), BusClosedError.
        """
        is_timed = time is not None
        time = self.now() if self._stamps and time is None else time
        attributes: dict[str, Any] = {
            "subject": subject, "id": id, "time": time, "dataschema": dataschema,
            "traceparent": traceparent, "correlationid": correlationid, "causationid": causationid,
            "extensions": extensions, "max_bytes": self._max_event_bytes,
        }  # fmt: skip
        effects, is_later = self._effects(), delay is not None or at is not None
        if effects is not None and not is_later:
            event = effects.publish(type, data, self._check, source=source, **attributes)
            return Receipt(BatchReceipt(self, already(event)))
        if source is None:
            source = self._source if effects is None else effects.source
        event = Event.create(type, data, source=source, **attributes)
        if is_later:
            now = self.now()
            later = ScheduledEvent.of(event, delay=delay, at=at, is_timed=is_timed, now=now)
            return self.publish_event(later)
        self._check(event)
        return Receipt(self._record(Unit([event], owns_events=True)))

    def publish_event(self, event: Event) -> Receipt:
        """Record an event made by ``Event.create``; otherwise as ``publish``."""
        self._check(event)  # here, where what is wrong has no index before it
        return Receipt(self._publish([event], self._effects()))

    def publish_many(self, events: Iterable[Event | Mapping[str, Any]]) -> BatchReceipt:
        """Record several events together, whole or not at all; otherwise as ``publish``.

        A mapping is read as by ``Event.from_dict`` and may have ``delay`` or ``at``. Raises
        EventValidationError with the index of each wrong event at the head of its pointers.
        """
        effects = self._effects()
        checked = read_events(
            events, source=self._source if effects is None else effects.source, check=self._check,
            max_bytes=self._max_event_bytes, now=self.now if self._stamps else None,
        )  # fmt: skip
        return self._publish(checked, effects)

    def _publish(self, checked: list[Event], effects: Effects | None) -> BatchReceipt:
        if any(isinstance(event, ScheduledEvent) for event in checked):
            unit, order = self._scheduler.arrange(checked, effects)
            return BatchReceipt(self, unit, order) if unit.is_done else self._record(unit, order)
        if effects is not None:
            return BatchReceipt(self, already(*[effects.add(event) for event in checked]))
        return self._record(Unit(checked))

    def cancel(self, id: str, *, source: str | None = None, by: str | None = None) -> Cancellation:
        """Take back what is scheduled under ``id`` (by every source when none is given).

        It is true when there was anything, and that is recorded as ``bus.schedule.cancelled``,
        with who it was, ``by``. Blocks and returns as ``publish``; in a handler it is an effect.
        """
        unit, found = self._scheduler.cancel(id, source, by, self._effects(), self._source)
        return Cancellation(BatchReceipt(self, unit) if unit.is_done else self._record(unit), found)

    def effect(self, apply: Apply, params: Any) -> None:
        """Ask for a state change; only in a handler.

        When the handler's delivery is committed, ``apply(connection, [params, ...])`` is called
        in the same transaction, once for all the params that the transaction has for it. Raises
        EffectError outside a handler.
        """
        effects = self._effects()
        if effects is None:
            raise EffectError("a state change can only be asked for while handling an event")
        effects.change(apply, params)

    def _effects(self) -> Effects | None:  # of this bus's handler, not of another's
        effects = current_effects()
        return effects if effects is not None and effects.owner is self.log else None

    def _record(self, unit: Unit, order: Sequence[int | Request] | None = None) -> BatchReceipt:
        if self.log.tracing is not None:
            self.log.tracing.publishing(unit, [r for r in order or () if isinstance(r, Request)])
        try:
            asyncio.get_running_loop()
        except RuntimeError:
            self.log.commit(unit)
        else:
            self.log.submit_bounded(unit)
        return BatchReceipt(self, unit, order)

    # -- subscribing -------------------------------------------------------------------------

    def subscribe(
        self,
        pattern: str | Pattern,
        handler: Handler,
        *,
        name: str | None = None, max_attempts: int | None = None, timeout: float | None = None,
        concurrency: int = 16, inline: bool = False, key: Key | None = None, together: bool = False,
    ) -> Subscription:  # fmt: skip
        """Have ``handler`` called with every event whose type matches ``pattern``.

        A subscription with a name, or whose handler is a module's function or method, is durable:
        it gets every event from now on, also those that come while it is away. Lambdas and
        closures without a name are served while they live. ``timeout`` is in seconds; ``inline``
        runs a sync handler on the bus's loop, for one that never blocks; ``key`` gives the
        ordering key of an event (default: its subject). Of processes that share the log, one at a
        time serves it, for all with ``together`` the same one. Blocks for a commit.

        Raises PatternError, SubscriptionError.
        """
        with self._subscribe_lock:
            if self._is_closed:
                raise BusClosedError("the bus is closed; nothing can be subscribed")
            subscription = new_subscription(
                pattern, handler, self._retry, self._lanes, self._anonymous, name=name,
                max_attempts=max_attempts, timeout=timeout, concurrency=concurrency,
                inline=inline, key=key, together=together,
            )  # fmt: skip
            self._put(subscription.name, self.serving.open(subscription))
        return subscription

    def _put(self, name: str, lane: Lane | None = None) -> None:
        lanes = {n: known for n, known in self._lanes.items() if n != name}
        self._lanes = lanes if lane is None else {**lanes, name: lane}

    def on(self, pattern: str | Pattern, **options: Any) -> Callable[[F], F]:
        """``subscribe`` as a decorator, with the same options; the function stays as it is."""
        return decorator(self.subscribe, pattern, options)

    def unsubscribe(self, subscription: Subscription | str) -> None:
        """End a subscription, by itself or by name.

        What it had not finished is cancelled, also what it handles just now: what that asks for is
        not done. Its dead letters stay, until it is subscribed again or they are discarded. Blocks
        for a commit. Raises SubscriptionError for an unknown one, LogWriteError.
        """
        name = subscription if isinstance(subscription, str) else subscription.name
        with self._subscribe_lock:
            lane = self._lanes.get(name)
            is_stored = any(stored.name == name for stored in self.log.subscribers())
            if lane is None and not is_stored:
                raise SubscriptionError(f"no subscription is named {name!r}")
            if lane is not None:
                lane.is_unsubscribed = True
                self._loop.call_soon_threadsafe(self.dispatcher.remove, lane)
                self.serving.forget(name)
            try:
                if is_stored:
                    self.log.subscription_changes.remove(name)
            finally:  # until then it counts as served, for those who wait for its deliveries
                self._put(name)
            self._watch.notify_all()

    def detach(self, name: str, timeout: float = 2.0) -> None:
        """Stop serving a durable subscription without forgetting it: what comes stays pending.

        What runs has ``timeout`` seconds to end; what is cut off then runs again, uncounted.
        Blocks; not for the bus's loop. Does nothing for a name that is not served.
        """
        refuse_on(self._loop, "detach")
        with self._subscribe_lock:
            lane = self._lanes.get(name)
            if lane is None or self._is_closed:
                return
            self.serving.let_go(lane, timeout)
            self._put(name)
            self.serving.forget(name)
            self.log.commit(Unit())  # how its attempts ended is in the log before it is read
            self._watch.notify_all()

    def now(self) -> datetime:
        """The time, in UTC, by the clock of this bus."""
        return from_microseconds(self._clock.time_ns() // 1_000)

    # -- looking -----------------------------------------------------------------------------

    def subscriptions(self) -> list[SubscriptionStats]:
        """Every subscription, also stored ones that nothing serves now, by name."""
        return subscription_stats(self.log, self._lanes, self.serving)

    def running(self) -> list[Running]:
        """The attempts that are under way now, oldest first."""
        runs = self.dispatcher.runner.runs
        return [Running.of(run) for run in sorted(runs, key=lambda run: run.started)]

    def troubles(self) -> list[Trouble]:
        """Why the bus cannot do all of its work now; empty when it can."""
        return self.watchdog.troubles()

    def served(self) -> set[str]:
        """The names of the subscriptions that have a handler in this process."""
        return set(self._lanes)

    def watch(self, sequence: int) -> AbstractContextManager[threading.Event]:
        """An event that is set whenever a delivery of the event ``sequence`` changes its state."""
        return self._watch.on(sequence)

    # -- life --------------------------------------------------------------------------------

    def drain(self, timeout: float | None = None) -> bool:
        """Block until nothing is pending or running, but for what waits for a retry or a due time.

        Returns whether that came about within ``timeout`` seconds. Raises WaitingError in a
        handler, for which it would wait, BusClosedError.
        """
        if (effects := self._effects()) is not None and effects.is_open:
            raise WaitingError(f"drain would wait for {effects.subscription}, which calls it, too")
        refuse_on(self._loop, "drain")
        if self._is_closed:
            raise BusClosedError("the bus is closed; nothing is handled any more")
        deadline = None if timeout is None else time.monotonic() + timeout
        self.log.commit(Unit())  # what was submitted before is committed with it
        return finishes(self._scheduler.settle(self.dispatcher), self._loop, deadline)

    def close(self, timeout: float = 2.0) -> None:
        """Stop: let running handlers finish for up to ``timeout`` seconds, commit, close the log.

        What is unfinished then is pending in the log and runs at the next start. Idempotent; in a
        forked process it does nothing. Raises WaitingError in an async or inline handler.
        """
        refuse_on(self._loop, "close")
        with self._subscribe_lock:
            if self._is_closed or self.log.is_forked:
                return
            self._is_closed = True
        self.serving.close()
        self.watchdog.close()
        self.operations.close()
        has_stopped = threading.Event()
        self._loop.call_soon_threadsafe(self._begin_stop, timeout, has_stopped)
        if not has_stopped.wait(timeout + _STOP_GRACE_S):
            logger.error("a handler blocks the bus's loop; closing without it")
        self.log.close()
        self.has_stopped = True
        self._watch.notify_all()
        self._loop_thread.stop(_STOP_GRACE_S / 2)
        self._pool.close()

    def _begin_stop(self, timeout_s: float, has_stopped: threading.Event) -> None:
        self._scheduler.close()
        # The coroutine is made here, on the loop: were that blocked, it would never be awaited.
        self._stopping = self._loop.create_task(self.dispatcher.stop(timeout_s))
        self._stopping.add_done_callback(lambda _: has_stopped.set())

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *raised: object) -> None:
        self.close()
