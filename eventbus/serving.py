"""Which durable subscriptions this process serves, of those that it has handlers for.

Where one process has the log, all. Where several share it, those whose leases it has: they are
shared out, each process that has handlers for them about as many. Those that say ``together`` are
left to the process that has the lease ``work``.
"""

from __future__ import annotations

import asyncio
import logging
import secrets
import threading
from collections.abc import Callable, Collection, Iterable
from concurrent.futures import Future
from concurrent.futures import TimeoutError as FutureTimeoutError
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from eventbus.arrivals import MOST_WAITING, Arrivals
from eventbus.lane import Lane
from eventbus.lanes import open_lane
from eventbus.log.commit import call_soon
from eventbus.log.head import MISSED, SUBSCRIPTIONS
from eventbus.log.leases import FIRST, Leases, Sharing
from eventbus.log.unit import Unit
from eventbus.subscription import Subscription

if TYPE_CHECKING:
    from eventbus.dispatcher import Dispatcher
    from eventbus.log import EventLog

logger = logging.getLogger("eventbus")

WORK = FIRST
"""The lease for what the app does beside serving: retention, notifications, regular checks."""
OPERATIONS = "operations"
RETURNED = "returned:"
"""A topic: deliveries of a subscription were made pending, ``returned:ID:PROCESS:SEQUENCE,…``."""
HURRIED = "hurried:"
"""A topic: retries of a subscription are to begin now, ``hurried:ID:SEQUENCE,SEQUENCE``."""
_LET_GO_S = 2.0
_GRACE_S = 0.5
# For so long at most a subscription stands still while what runs ends, before another process goes
# on with it; then it goes on here.
_QUIET_S = 30.0
_QUIET_POLL_S = 0.02
_MOST_TOLD = 500  # sequences in a topic, which may have 8,000 characters


@dataclass(slots=True)
class _Duties:
    """What one process at a time does under a lease: pairs of how to begin and how to end it."""

    each: list[tuple[Callable[[], None], Callable[[], None]]] = field(default_factory=list)
    is_ours: bool = False


class Serving:
    """Any thread may call it; ``lock`` is the bus's, under which its lanes change."""

    def __init__(
        self,
        log: EventLog,
        dispatcher: Dispatcher,
        lock: threading.Lock,
        put: Callable[[str, Lane | None], None],
        shares_out: bool,
    ) -> None:
        """``put`` makes a lane the one of a subscription, None for none; with the lock held.

        ``shares_out``: else all subscriptions are ``together``.
        """
        self._log = log
        self._dispatcher = dispatcher
        self._lock = lock
        self._put = put
        self._shares_out = shares_out
        self._tag = secrets.token_hex(4)  # tells this process's own topics from others'
        self._arrivals = Arrivals(log, dispatcher)
        self._waiting: dict[str, Lane] = {}  # by name: handlers that may get a lease
        self._active: dict[str, Lane] = {}
        self._duties: dict[str, _Duties] = {}
        self.begin_listeners: list[Callable[[str], None]] = []
        """Called with the name of a subscription that another process may have served, before this
        one serves it."""
        self.end_listeners: list[Callable[[str], None]] = []
        """Called with the name of a subscription that another process has ended for good; they must
        only hand over."""
        self.leases: Leases | None = log.leases
        if self.leases is not None:
            log.change_listeners.append(self._changed)

    def does(self, lease: str) -> bool:
        """Whether this process does what is done under a lease."""
        return self.leases is None or (lease in self._duties and self._duties[lease].is_ours)

    def add_duty(self, lease: str, begin: Callable[[], None], end: Callable[[], None]) -> None:
        """Have ``begin`` called when this process has the lease, now (then it may raise) or later.

        ``end`` is called when another may have it, and not when the bus closes.
        """
        with self._lock:
            is_new = lease not in self._duties
            duties = self._duties.setdefault(lease, _Duties())
            duties.each.append((begin, end))
            is_now = self.does(lease)
        if is_now:
            begin()
        elif self.leases is not None and is_new:
            self.leases.want(lease, lambda: self._gained(lease), lambda: self._lost(lease))

    def open(self, subscription: Subscription) -> Lane:
        """The lane of a new subscription, served at once if it may be; with the lock held.

        Blocks for a commit.
        """
        name = subscription.name
        if self.leases is None or not subscription.is_durable:
            lane = open_lane(self._log, subscription)
            self._dispatcher.loop.call_soon_threadsafe(self._dispatcher.add, lane)
            return lane
        stored = self._log.subscription_changes.save(name, subscription.pattern)
        lane = self._waiting[name] = Lane(subscription, stored.id)
        lane.paused_ids = self._log.paused_ids
        if subscription.together or not self._shares_out:
            sharing = None
            self._follow_work()
        else:
            sharing = Sharing(lambda: self._leave(name), lambda: self._is_busy(name))
        is_ours = self.leases.take_now(
            _lease_of(name), lambda: self._begin(name), lambda: self._end(name), sharing
        )
        return self._activate(name, lane) if is_ours else lane

    def _follow_work(self) -> None:
        """Have one process take precedence for all that is not shared out; with the lock held."""
        if WORK not in self._duties and self.leases is not None:
            self._duties[WORK] = _Duties()
            self.leases.want(WORK, lambda: self._gained(WORK), lambda: self._lost(WORK))

    def let_go(self, lane: Lane, timeout_s: float) -> None:
        """Deliver nothing more to it; what runs has that time to end. Blocks; raises TimeoutError
        when a handler blocks the bus's loop.
        """
        ending = self._dispatcher.detach(lane, timeout_s)
        future = asyncio.run_coroutine_threadsafe(ending, self._dispatcher.loop)
        try:
            future.result(timeout_s + _GRACE_S)
        except FutureTimeoutError:
            future.cancel()
            raise

    def close(self) -> None:
        """Begin to serve nothing more; who serves what goes on is for after the log's end."""
        if self.leases is not None:
            self.leases.stop_taking()

    def forget(self, name: str) -> None:
        """The subscription has no handler here any more; its lane was taken away."""
        self._active.pop(name, None)
        if self._waiting.pop(name, None) is not None and self.leases is not None:
            self.leases.give_back(_lease_of(name))

    def lanes(self) -> dict[str, Lane]:
        """Those of the durable subscriptions that have handlers here, by name, where processes
        share the log; whoever of them serves each.
        """
        return dict(self._waiting)

    def is_served(self, name: str) -> bool:
        """Whether this process delivers to the subscription's handler now."""
        return name in self._active or name not in self._waiting

    def elsewhere(self, names: Collection[str]) -> set[str]:
        """Which of these subscriptions another process serves now. Raises LogReadError."""
        leases = {_lease_of(name): name for name in names if name not in self._active}
        if self.leases is None or not leases:
            return set()
        return {leases[lease] for lease in self.leases.held_by_anybody(leases)}

    def is_elsewhere(self, id: int) -> bool:
        """Whether another process serves the subscription of this id now. Raises LogReadError."""
        names = {known.name for known in self._log.subscribers() if known.id == id}
        return bool(self.elsewhere(names))

    def _begin(self, name: str) -> None:
        """The lease is here: read on in the log where the process that had it came to."""
        with self._lock:
            waiting = self._waiting.get(name)
            if waiting is None or name in self._active or not self._holds(name):
                return
            for listener in self.begin_listeners:
                listener(name)
            self._put(name, self._activate(name, waiting))

    def _holds(self, name: str) -> bool:
        return self.leases is not None and self.leases.holds(_lease_of(name))

    def _activate(self, name: str, waiting: Lane) -> Lane:
        lane = open_lane(self._log, waiting.subscription, id=waiting.id)
        self._waiting[name] = self._active[name] = lane
        self._dispatcher.loop.call_soon_threadsafe(self._dispatcher.add, lane)
        return lane

    def _end(self, name: str) -> None:
        """The lease is gone: begin nothing more; what runs may end, and finds what it may still."""
        with self._lock:
            lane = self._active.pop(name, None)
            if lane is None:
                return
            idle = Lane(lane.subscription, lane.id)
            idle.paused_ids = lane.paused_ids
            self._waiting[name] = idle
            self._put(name, idle)
        try:
            self.let_go(lane, _LET_GO_S)
        except TimeoutError:
            logger.error("a handler blocks the bus's loop; %s goes on in another process", name)

    # -- going over to another process in good order -------------------------------------------

    def _is_busy(self, name: str) -> bool:
        lane = self._active.get(name)
        return lane is not None and lane.running_count > 0

    def _leave(self, name: str) -> Future[bool]:
        """Begin nothing more; whether what ran has ended, and its outcome is in the log."""
        return asyncio.run_coroutine_threadsafe(self._quiet(name), self._dispatcher.loop)

    async def _quiet(self, name: str) -> bool:
        lane = self._active.get(name)
        if lane is None:
            return True
        lane.is_leaving = True
        loop = self._dispatcher.loop
        deadline = loop.time() + _QUIET_S
        while lane.running_count and loop.time() < deadline:
            await asyncio.sleep(_QUIET_POLL_S)
        if lane.running_count:
            lane.is_leaving = False
            self._dispatcher.look_again(name)
            return False
        await asyncio.sleep(0)  # in which how its attempts ended is submitted
        unit = Unit()  # committed after all of that
        committed: asyncio.Future[None] = loop.create_future()
        unit.waiters.append((loop, committed))
        self._log.submit(unit)
        await committed
        return True

    def _gained(self, lease: str) -> None:
        with self._lock:
            duties = self._duties[lease]
            duties.is_ours = True
            each = list(duties.each)
        try:
            for begin, _ in each:
                begin()
        except Exception:  # the lease is given back
            self._lost(lease)
            raise

    def _lost(self, lease: str) -> None:
        with self._lock:
            duties = self._duties[lease]
            duties.is_ours = False
            each = list(duties.each)
        for _, end in each:
            try:
                end()
            except Exception:
                logger.exception("what another process may do now could not be ended")

    def hurry_elsewhere(
        self, name: str, id: int | None, sequences: Collection[int]
    ) -> list[tuple[int, str]]:
        """Have retries begun by the process that serves the subscription, if it is not this one.

        Returns the sequences that it was asked for, each with the name. Raises LogWriteError.
        """
        if id is None or self.leases is None or name in self._active:
            return []
        wanted = sorted(sequences)
        for start in range(0, len(wanted), _MOST_TOLD):
            some = ",".join(map(str, wanted[start : start + _MOST_TOLD]))
            self._log.commit(Unit(call=lambda conn: None, topic=f"{HURRIED}{id}:{some}"))
        return [(sequence, name) for sequence in wanted]

    # -- what other processes have done ------------------------------------------------------

    def _changed(self, topics: set[str]) -> None:
        if SUBSCRIPTIONS in topics:
            self._look_at_subscriptions()
        if MISSED in topics:  # something may have been made pending
            for name in list(self._active):
                self._read_anew(name)
        for topic in topics:
            if topic.startswith(RETURNED):
                self._returned(topic.removeprefix(RETURNED))
            if topic.startswith(HURRIED):
                id, _, sequences = topic.removeprefix(HURRIED).partition(":")
                call_soon(
                    self._dispatcher.loop, self._hurry, int(id), set(map(int, sequences.split(",")))
                )

    def told(self, id: int, sequences: Iterable[int]) -> str:
        """The topic that tells other processes of deliveries that are made pending."""
        return f"{RETURNED}{id}:{self._tag}:{','.join(map(str, sequences))}"

    def _returned(self, told: str) -> None:
        id, _, rest = told.partition(":")
        tag, _, sequences = rest.partition(":")
        lane = next((lane for lane in self._active.values() if str(lane.id) == id), None)
        if lane is None or tag == self._tag:
            return
        if not sequences or self._arrivals.count(lane) > MOST_WAITING:  # none: an older process
            self._read_anew(lane.subscription.name)
        else:
            given = [int(sequence) for sequence in sequences.split(",")]
            call_soon(self._dispatcher.loop, self._arrivals.take, lane, given)

    def _read_anew(self, name: str) -> None:
        """Serve it with a new lane, which reads all that is to be done in the log."""
        self._end(name)
        self._begin(name)

    def _look_at_subscriptions(self) -> None:
        """Some may be unsubscribed, paused or resumed."""
        stored = {known.name for known in self._log.subscribers()}
        for name in [name for name in self._waiting if name not in stored]:
            self._end(name)
            with self._lock:
                self.forget(name)
                self._put(name, None)
            for listener in self.end_listeners:
                listener(name)
        for name in list(self._active):
            call_soon(self._dispatcher.loop, self._dispatcher.look_again, name)

    def _hurry(self, id: int, sequences: set[int]) -> None:
        lane = self._dispatcher.lane_of(id)
        if lane is not None:
            self._dispatcher.retries.now(lane, sequences)


def _lease_of(name: str) -> str:
    return f"subscription {name}"
