"""A lane: one subscription's deliveries in memory, in order by key, bounded, fed from the log."""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Callable

from eventbus.event import Event
from eventbus.log.deliveries import Unfinished
from eventbus.subscription import Subscription

logger = logging.getLogger("eventbus.dispatcher")

# Deliveries held as objects; beyond that a lane leaves them in the log and comes back for them.
WINDOW = 2_000
PAGE = 500
# Deliveries that wait behind another of their key are then kept as bare sequences, up to here.
MAX_WAITING = 100_000
# With so many deliveries waiting for a retry something is broken for all: no new ones are begun.
MAX_RETRYING = 10_000


class Job:
    """One delivery on its way through a lane; ``attempt`` counts the attempts that have ended."""

    __slots__ = ("attempt", "due_us", "event", "holds_key", "key", "lane")

    def __init__(
        self, lane: Lane, event: Event, key: str, attempt: int, due_us: int | None
    ) -> None:
        self.lane = lane
        self.event = event
        self.key = key
        self.attempt = attempt
        self.due_us = due_us
        self.holds_key = True


class Lane:
    """Which delivery may run next; used on the dispatcher's loop alone.

    Events of one key pass one at a time, in sequence order; a key is *busy* while one of its
    deliveries runs, commits or waits for a retry, and what comes meanwhile waits behind it.

    A lane is *behind* while the log holds deliveries for it that it has not taken: at the start,
    and whenever it has too many in memory. Then nothing is taken from live commits until
    the log has been read up to them.
    """

    def __init__(
        self,
        subscription: Subscription,
        id: int | None,
        load: Callable[[Lane, int], Unfinished | None],
    ) -> None:
        """``id`` is the durable subscription's in the log, None for an ephemeral one.

        ``load`` reads one delivery of this lane again, None when it is not to be done any more.
        """
        self.subscription = subscription
        self.id = id
        self.concurrency = subscription.concurrency
        self.ready: deque[Job] = deque()
        self.busy: dict[str, deque[Job | int]] = {}
        self.open = 0  # deliveries that are ready, running or being committed
        self.waiting = 0  # behind another of their key
        self.waiting_jobs = 0  # those of them that are held as objects
        self.retrying = 0
        self.position = 0  # everything up to here has been taken
        self.newest = 0  # the newest event that was on offer
        self.is_behind = False
        self.is_loading = False
        self.is_closed = False
        self.running_count = 0
        self.workers = 0
        self.unread: list[str] = []  # keys whose next delivery could not be read from the log
        self.will_read_again = False
        self.stuck = 0  # threads still in a sync handler whose attempt has timed out
        self.durations_ms: deque[float] = deque(maxlen=1_000)
        self.succeeded = 0
        self.failures = 0
        self.blocked_count = 0  # how often its handler held up the bus's loop
        self._load = load

    @property
    def is_full(self) -> bool:
        return self.open >= WINDOW or self.waiting >= MAX_WAITING or self.retrying >= MAX_RETRYING

    @property
    def is_idle(self) -> bool:
        """Whether nothing is left to do but to wait for retries."""
        return self.open == 0 and not self.is_behind and not self.unread

    def has_room(self, more: int) -> bool:
        """Whether its concurrency allows ``more`` workers beside those there are.

        A thread that hangs in a handler takes the place of one: else each time-out would let
        another thread hang, until the pool that all subscriptions share had none left.
        """
        return self.workers + self.stuck + more <= self.concurrency

    def offer(self, event: Event) -> None:
        """Take a just recorded event, unless the lane is behind."""
        assert event.sequence is not None, "recorded events have a sequence"
        if event.sequence <= self.position:
            return  # a page that was read between its commit and now had it already
        self.newest = event.sequence
        if self.is_full:
            self.is_behind = True
        if not self.is_behind:
            self._take(Unfinished(event, 0, None))

    def skip_to(self, sequence: int) -> None:
        """Note that commits up to ``sequence`` were not handed over."""
        self.newest = max(self.newest, sequence)
        self.is_behind = True

    def wants_page(self) -> bool:
        """Whether to read on in the log now."""
        has_room = self.open < WINDOW // 2 and not self.is_full
        return self.is_behind and has_room and not self.is_loading and not self.is_closed

    def take_page(self, page: list[Unfinished], position: int, is_last: bool) -> list[Job]:
        """Take what was read from the log, complete up to ``position``; returns those retrying."""
        taken = [self._take(unfinished) for unfinished in page]
        self.position = max(self.position, position)
        if is_last and self.position >= self.newest:
            self.is_behind = False
        return [job for job in taken if job is not None and job.due_us is not None]

    def take_back(self, unfinished: Unfinished) -> None:
        """Take a delivery that is to be done again, wherever in the log the lane is."""
        position = self.position
        self._take(unfinished)
        self.position = position

    def release(self, job: Job) -> None:
        """The delivery is finished for good, and that is committed."""
        self.open -= 1
        if job.holds_key:
            self.let_next(job)

    def let_next(self, job: Job) -> None:
        """Let the next delivery of the key go."""
        job.holds_key = False
        self._advance(job.key)

    def read_again(self) -> None:
        """Try once more to read what could not be read."""
        self.will_read_again = False
        keys, self.unread = self.unread, []
        for key in keys:
            self._advance(key)

    def _advance(self, key: str) -> None:
        waiting = self.busy[key]
        while waiting:
            following = waiting[0]
            if not isinstance(following, Job):
                try:
                    unfinished = self._load(self, following)
                except Exception:
                    logger.exception("%s could not read %d", self.subscription.name, following)
                    self.unread.append(key)
                    return
                waiting.popleft()
                self.waiting -= 1
                if unfinished is None:
                    continue
                following = Job(self, unfinished.event, key, unfinished.attempt, None)
            else:
                waiting.popleft()
                self.waiting -= 1
                self.waiting_jobs -= 1
            self.open += 1
            self.ready.append(following)
            return
        del self.busy[key]

    def wait_for_retry(self, job: Job, due_us: int) -> None:
        """The delivery's attempt has failed; its key stays busy until it is due again."""
        job.due_us = due_us
        self.open -= 1
        self.retrying += 1

    def retry(self, job: Job) -> None:
        """The delivery is due again."""
        job.due_us = None
        self.retrying -= 1
        self.open += 1
        self.ready.append(job)

    def _take(self, unfinished: Unfinished) -> Job | None:
        """The delivery as a job, None when it has to wait behind another of its key."""
        event = unfinished.event
        sequence = event.sequence or 0
        key = self._key(event)
        waiting = self.busy.get(key)
        job = Job(self, event, key, unfinished.attempt, unfinished.due_us)
        self.position = max(self.position, sequence)  # not before there is memory for the job
        if waiting is not None:
            self.waiting += 1
            if self.waiting_jobs < WINDOW and job.due_us is None:
                self.waiting_jobs += 1
                waiting.append(job)
            else:
                waiting.append(sequence)
            return None
        self.busy[key] = deque()
        if job.due_us is None:
            self.open += 1
            self.ready.append(job)
        else:
            self.retrying += 1
        return job

    def _key(self, event: Event) -> str:
        try:
            return str(self.subscription.key(event))
        except Exception:
            # An event that the key function cannot read must not stop the lane; it is ordered
            # as by default, and its handler will meet the same problem and fail visibly.
            logger.exception(
                "the ordering key of %s failed for event %s", self.subscription.name, event.id
            )
            return event.subject
