"""A lane: one subscription's deliveries in memory, in order by key, bounded, fed from the log."""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Set

from eventbus.buckets import DURATIONS_US, Buckets
from eventbus.event import Event
from eventbus.log.deliveries import Unfinished
from eventbus.subscription import Subscription, by_subject

logger = logging.getLogger("eventbus.dispatcher")

# Deliveries held as objects, and the size of their payloads; beyond either a lane leaves them in
# the log and comes back for them.
WINDOW = 2_000
WINDOW_CHARS = 8 * 1024 * 1024
PAGE = 500
# Deliveries that wait behind another of their key are then kept as bare sequences, up to here.
MAX_WAITING = 100_000
# With so many deliveries waiting for a retry something is broken for all: no new ones are begun.
MAX_RETRYING = 10_000
_KEPT_CHARS = 1_024  # of a payload, while its delivery waits for a retry


class Job:
    """One delivery on its way through a lane; ``attempt`` counts the attempts that have ended."""

    __slots__ = (
        "attempt", "due_us", "event", "holds_key", "is_hollow", "key", "lane", "sequence", "size",
    )  # fmt: skip

    def __init__(
        self, lane: Lane, event: Event, key: str, attempt: int, due_us: int | None
    ) -> None:
        self.lane = lane
        self.event = event
        self.sequence: int = event.sequence or 0
        self.size = len(event.data_json)
        self.key = key
        self.attempt = attempt
        self.due_us = due_us
        self.holds_key = True
        self.is_hollow = False  # without its payload, which has to be read again


class Lane:
    """Which delivery may run next; used on the dispatcher's loop alone.

    Events of one key pass one at a time, in sequence order; a key is *busy* while one of its
    deliveries runs, commits or waits for a retry, and what comes meanwhile waits behind it.

    A lane is *behind* while the log holds deliveries for it that it has not taken: at the start,
    and whenever it has too many in memory. Then nothing is taken from live commits until
    the log has been read up to them.
    """

    def __init__(self, subscription: Subscription, id: int | None) -> None:
        """``id`` is the durable subscription's in the log, None for an ephemeral one."""
        self.subscription = subscription
        self.id = id
        self.concurrency = subscription.concurrency
        self.paused_ids: Set[int] = frozenset()  # the log's, of all subscriptions
        self.ready: deque[Job] = deque()
        # By busy key what waits behind it: None until something does.
        self.busy: dict[str, deque[Job | int] | None] = {}
        self.open = 0  # deliveries that are ready, running or being committed
        self.chars = 0  # the payloads of all deliveries that are held as objects
        self.waiting = 0  # behind another of their key
        self.waiting_jobs = 0  # those of them that are held as objects
        self.retrying = 0
        self.position = 0  # everything up to here has been taken
        self.newest = 0  # the newest event that was on offer
        self.is_behind = False
        self.is_loading = False
        self.is_closed = False
        self.is_unsubscribed = False  # closed for good: nobody goes on with it
        self.is_leaving = False  # another process is to go on with it
        # All that was taken and is not finished, where another process may return deliveries.
        self.held: set[int] | None = None
        # One of them may have killed a process: they run one at a time, and with the rest of the
        # lane, until all have.
        self.suspects: set[int] = set()
        self.running_count = 0
        self.workers = 0
        self.is_pump_due = False  # another worker is started in the loop's next turn
        # Keys whose next delivery is a bare sequence that has to be read from the log first.
        self.unread: list[str] = []
        self.is_reading = False
        self.stuck = 0  # threads still in a sync handler whose attempt has timed out
        self.durations_ms: deque[float] = deque(maxlen=1_000)
        self.took_us = Buckets(DURATIONS_US)  # attempts, however they ended
        self.succeeded = 0
        self.failures = self.failed_before = 0  # ever, and before it was served here
        self.died = 0  # those of the failures after which there was no further attempt
        self.blocked_count = 0  # how often its handler held up the bus's loop
        self._is_by_subject = subscription.key is by_subject

    @property
    def is_full(self) -> bool:
        return (
            self.open >= WINDOW
            or self.chars >= WINDOW_CHARS
            or self.waiting >= MAX_WAITING
            or self.retrying >= MAX_RETRYING
        )

    @property
    def is_paused(self) -> bool:
        """Whether nothing new is begun, because somebody wants it so."""
        return self.id in self.paused_ids

    @property
    def is_idle(self) -> bool:
        """Whether nothing is left to do but to wait for retries, or for being resumed."""
        if self.is_paused:
            return self.open == len(self.ready)
        return self.open == 0 and not self.is_behind and not self.unread and not self.is_reading

    def has_room(self, more: int) -> bool:
        """Whether its concurrency allows ``more`` workers beside those there are.

        A thread that hangs in a handler takes the place of one: else each time-out would let
        another thread hang, until the pool that all subscriptions share had none left.
        """
        is_held_up = self.is_paused or self.is_leaving
        concurrency = min(1, self.concurrency) if self.suspects else self.concurrency
        return self.workers + self.stuck + more <= concurrency and not is_held_up

    # -- taking ------------------------------------------------------------------------------

    def offer(self, event: Event) -> None:
        """Take a just recorded event, unless the lane is behind."""
        assert event.sequence is not None, "recorded events have a sequence"
        if event.sequence <= self.position:
            return  # a page that was read between its commit and now had it already
        self.newest = event.sequence
        if self.is_behind:
            return
        if self.is_full:
            self.is_behind = True
        else:
            self._take(event, 0, None)

    def skip_to(self, sequence: int) -> None:
        """Note that commits up to ``sequence`` were not handed over."""
        self.newest = max(self.newest, sequence)
        self.is_behind = True

    def wants_page(self) -> bool:
        """Whether to read on in the log now."""
        return (
            self.is_behind
            and not self.is_loading
            and not self.is_closed
            # What was begun comes first: it is counted nowhere while it is read again.
            and not self.unread
            and not self.is_reading
            and self.open < WINDOW // 2
            # Read on early enough, but never while what is held already fills its share.
            and (self.chars < WINDOW_CHARS // 2 or self.open == 0)
            and not (self.waiting >= MAX_WAITING or self.retrying >= MAX_RETRYING)
        )

    def take_page(self, page: list[Unfinished], position: int, is_last: bool) -> list[Job]:
        """Take what was read from the log, complete up to ``position``; returns those retrying."""
        taken = [self._take(found.event, found.attempt, found.due_us) for found in page]
        self.position = max(self.position, position)
        if is_last and self.position >= self.newest:
            self.is_behind = False
        return [job for job in taken if job is not None and job.due_us is not None]

    def take_back(self, unfinished: Unfinished) -> None:
        """Take a delivery that is to be done again, wherever in the log the lane is."""
        position = self.position
        self._take(unfinished.event, unfinished.attempt, unfinished.due_us)
        self.position = position

    def _take(self, event: Event, attempt: int, due_us: int | None) -> Job | None:
        """The delivery as a job, None when it has to wait behind another of its key."""
        key = event.subject if self._is_by_subject else self._key(event)
        job = Job(self, event, key, attempt, due_us)
        if job.sequence > self.position:  # not before there is memory for the job
            self.position = job.sequence
        if self.held is not None:
            self.held.add(job.sequence)
        if key in self.busy:
            self._wait(key, job)
            return None
        self.busy[key] = None
        self.chars += job.size
        if due_us is None:
            self.open += 1
            self.ready.append(job)
        else:
            self.retrying += 1
        return job

    def _wait(self, key: str, job: Job) -> None:
        waiting = self.busy[key]
        if waiting is None:
            waiting = self.busy[key] = deque()
        self.waiting += 1
        has_room = self.waiting_jobs < WINDOW and self.chars < WINDOW_CHARS // 2
        # Behind a bare sequence all are: what is read comes in at the front.
        if has_room and job.due_us is None and not (waiting and isinstance(waiting[-1], int)):
            self.waiting_jobs += 1
            self.chars += job.size
            waiting.append(job)
        else:
            waiting.append(job.sequence)

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

    # -- ending ------------------------------------------------------------------------------

    def release(self, job: Job) -> None:
        """The delivery is finished for good, and that is committed."""
        self.open -= 1
        self.chars -= job.size
        if self.held is not None:
            self.held.discard(job.sequence)
        if self.suspects and self.open == 0 and not self.is_behind:
            self.suspects.clear()  # those that are left are not to be done any more
        if job.holds_key:
            self.let_next(job)

    def let_next(self, job: Job) -> None:
        """Let the next delivery of the key go."""
        job.holds_key = False
        key = job.key
        if self.busy[key] is None:
            del self.busy[key]
        else:
            self._advance(key)

    def _advance(self, key: str) -> None:
        waiting = self.busy[key]
        if not waiting:
            del self.busy[key]
            return
        following = waiting[0]
        if not isinstance(following, Job):
            self.unread.append(key)
            return
        waiting.popleft()
        self.waiting -= 1
        self.waiting_jobs -= 1
        self.open += 1
        self.ready.append(following)

    def wait_for_retry(self, job: Job, due_us: int) -> None:
        """The delivery's attempt has failed; its key stays busy until it is due again."""
        job.due_us = due_us
        self.open -= 1
        self.retrying += 1
        if job.size > _KEPT_CHARS and self.id is not None:
            # Thousands may wait for minutes: a large payload waits in the log.
            self.chars -= job.size
            job.size = 0
            job.event = job.event.evolve(data_json="{}")
            job.is_hollow = True

    def retry(self, job: Job) -> None:
        """The delivery is due again."""
        job.due_us = None
        self.retrying -= 1
        if job.is_hollow:
            waiting = self.busy[job.key]
            if waiting is None:
                waiting = self.busy[job.key] = deque()
            waiting.appendleft(job.sequence)
            self.waiting += 1
            self.unread.append(job.key)
        else:
            self.open += 1
            self.ready.append(job)

    # -- bare sequences ----------------------------------------------------------------------

    def to_read(self) -> dict[str, list[int]]:
        """Up to a page of sequences that stand first behind their keys, to be read from the log."""
        keys, self.unread = self.unread[:PAGE], self.unread[PAGE:]
        each = max(1, PAGE // max(1, len(keys)))
        wanted: dict[str, list[int]] = {}
        for key in keys:
            first = wanted[key] = []
            for item in self.busy[key] or ():
                if isinstance(item, Job) or len(first) == each:
                    break
                first.append(item)
        return wanted

    def take_read(
        self, wanted: dict[str, list[int]], found: dict[int, Unfinished], upto: int
    ) -> None:
        """Put what was read in place of its sequences, and let each key's first delivery go.

        A sequence up to ``upto`` that was not ``found`` is not to be done any more; the read did
        not come to those beyond it.
        """
        for key, sequences in wanted.items():
            waiting = self.busy[key]
            assert waiting is not None, "a key with bare sequences has what waits behind it"
            jobs: list[Job] = []
            for sequence in sequences:
                if sequence > upto:
                    break
                waiting.popleft()
                unfinished = found.get(sequence)
                if unfinished is None:
                    self.waiting -= 1
                    if self.held is not None:
                        self.held.discard(sequence)
                    continue
                jobs.append(Job(self, unfinished.event, key, unfinished.attempt, None))
            for job in reversed(jobs):
                waiting.appendleft(job)
                self.waiting_jobs += 1
                self.chars += job.size
            self._advance(key)
