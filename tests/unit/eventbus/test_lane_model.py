"""A lane against a model: in whichever order it all comes, nothing is lost, every count is true.

The model plays the log, the dispatcher and the threads that read for the lane, one step at a time,
so that every interleaving of commits, pages, failures and due retries can come up. The bounds are
so tight that each way around them is taken within a few dozen steps.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from unittest import mock

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from eventbus import Event, Pattern, RetryPolicy
from eventbus import lane as lane_module
from eventbus.lane import Job, Lane
from eventbus.log.deliveries import Unfinished
from eventbus.subscription import Subscription, by_subject
from tests.helpers.examples import examples

WINDOW, PAGE, WINDOW_CHARS, KEPT_CHARS, BIGGEST = 6, 4, 120, 15, 40
_BOUNDS = {
    "WINDOW": WINDOW,
    "PAGE": PAGE,
    "WINDOW_CHARS": WINDOW_CHARS,
    "MAX_WAITING": 10,
    "MAX_RETRYING": 3,
    "_KEPT_CHARS": KEPT_CHARS,
}


@dataclass
class Row:
    """A delivery as the log has it."""

    event: Event
    attempt: int = 0
    due_us: int | None = None
    is_over: bool = False


@dataclass
class Reading:
    """What a thread has read for the lane and not handed over yet."""

    page: list[Unfinished] = field(default_factory=list)
    position: int = 0
    is_last: bool = False
    wanted: dict[str, list[int]] = field(default_factory=dict)
    found: dict[int, Unfinished] = field(default_factory=dict)
    upto: int = 0


class LaneModel(RuleBasedStateMachine):
    """Steps that a bus may take with one of its lanes."""

    def __init__(self) -> None:
        super().__init__()
        self._patches = [mock.patch.object(lane_module, *bound) for bound in _BOUNDS.items()]
        for patch in self._patches:
            patch.start()
        subscription = Subscription(
            "mine", Pattern("#"), lambda event: None, is_durable=True, is_async=False,
            is_inline=False, policy=RetryPolicy(), concurrency=4, key=by_subject,
        )  # fmt: skip
        self.lane = Lane(subscription, 1)
        self.rows: dict[int, Row] = {}
        self.running: list[Job] = []
        self.committing: list[Job] = []
        self.retrying: list[Job] = []
        self.page: Reading | None = None
        self.reading: Reading | None = None
        self.began: dict[str, list[int]] = {}
        self.returned: set[int] = set()

    def teardown(self) -> None:
        try:
            self._finish()
        finally:
            for patch in self._patches:
                patch.stop()

    # -- commits -----------------------------------------------------------------------------

    @initialize(count=st.integers(0, 12))
    def start_behind(self, count: int) -> None:
        for number in range(count):
            self._record("abc"[number % 3], number % BIGGEST)
        self.lane.skip_to(len(self.rows))

    @rule(keys=st.lists(st.sampled_from("abcdef"), min_size=1, max_size=8),
          size=st.integers(0, BIGGEST), is_skipped=st.booleans())  # fmt: skip
    def publish(self, keys: list[str], size: int, is_skipped: bool) -> None:
        for key in keys:
            event = self._record(key, size)
            if not is_skipped:
                self.lane.offer(event)
        if is_skipped:
            self.lane.skip_to(len(self.rows))

    def _record(self, key: str, size: int) -> Event:
        data = {"x": "x" * size} if size else {}
        event = Event.create("a", data, subject=key).copy(len(self.rows) + 1)
        self.rows[len(self.rows) + 1] = Row(event)
        return event

    # -- attempts ----------------------------------------------------------------------------

    @precondition(lambda self: self.lane.ready)
    @rule()
    def begin(self) -> None:
        job = self.lane.ready.popleft()
        row = self.rows[job.sequence]
        assert not row.is_over, "nothing is begun that is over"
        assert not job.is_hollow
        assert job.event.data_json == row.event.data_json
        assert job.attempt == row.attempt
        assert job.key not in {other.key for other in self.running}, "one of a key at a time"
        if job.sequence not in self.returned:
            begun = self.began.setdefault(job.key, [])
            assert not begun or begun[-1] <= job.sequence, "in sequence order"
            begun.append(job.sequence)
        self.running.append(job)

    @precondition(lambda self: self.running)
    @rule(which=st.integers(0, 9), has_effects=st.booleans())
    def succeed(self, which: int, has_effects: bool) -> None:
        job = self.running.pop(which % len(self.running))
        if not has_effects:
            self.lane.let_next(job)
        self.committing.append(job)

    @precondition(lambda self: self.committing)
    @rule(which=st.integers(0, 9))
    def commit(self, which: int) -> None:
        job = self.committing.pop(which % len(self.committing))
        self.rows[job.sequence].is_over = True
        self.lane.release(job)

    @precondition(lambda self: self.running)
    @rule(which=st.integers(0, 9), is_dead=st.booleans())
    def fail(self, which: int, is_dead: bool) -> None:
        job = self.running.pop(which % len(self.running))
        row = self.rows[job.sequence]
        job.attempt = row.attempt = row.attempt + 1
        if is_dead:
            row.is_over = True
            self.lane.release(job)
        else:
            row.due_us = 1
            self.lane.wait_for_retry(job, 1)
            self.retrying.append(job)

    @precondition(lambda self: self.retrying)
    @rule(which=st.integers(0, 9))
    def become_due(self, which: int) -> None:
        self.lane.retry(self.retrying.pop(which % len(self.retrying)))

    # A redriven delivery: below the lane's position, so no page has it.
    @precondition(lambda self: any(self._returnable()))
    @rule(which=st.integers(0, 99))
    def return_one(self, which: int) -> None:
        sequences = list(self._returnable())
        sequence = sequences[which % len(sequences)]
        row = self.rows[sequence]
        row.attempt, row.due_us, row.is_over = 0, None, False
        self.returned.add(sequence)
        self.lane.take_back(Unfinished(row.event, 0, None))

    def _returnable(self) -> Iterator[int]:
        for sequence, row in self.rows.items():
            if row.is_over and sequence <= self.lane.position and self.page is None:
                yield sequence

    # -- reading for the lane ----------------------------------------------------------------

    @precondition(lambda self: self.page is None and self.lane.wants_page())
    @rule(limit=st.integers(1, PAGE))
    def read_page(self, limit: int) -> None:
        self.lane.is_loading = True
        to_do = [n for n, row in self.rows.items() if n > self.lane.position and not row.is_over]
        page = [self._unfinished(sequence) for sequence in to_do[:limit]]
        is_last = len(to_do) <= limit
        position = len(self.rows) if is_last else to_do[limit - 1]
        self.page = Reading(page=page, position=position, is_last=is_last)

    @precondition(lambda self: self.page is not None)
    @rule()
    def take_page(self) -> None:
        assert self.page is not None
        page, self.page = self.page, None
        self.lane.is_loading = False
        self.retrying += self.lane.take_page(page.page, page.position, page.is_last)

    @precondition(lambda self: self.reading is None and self.lane.unread)
    @rule(limit=st.integers(1, PAGE))
    def read_waiting(self, limit: int) -> None:
        self.lane.is_reading = True
        wanted = self.lane.to_read()
        sequences = sorted(n for of_key in wanted.values() for n in of_key)
        assert len(sequences) <= max(PAGE, len(wanted))
        to_do = [n for n in sequences if not self.rows[n].is_over]
        upto = to_do[limit - 1] if len(to_do) > limit else sequences[-1]
        found = {n: self._unfinished(n) for n in to_do[:limit]}
        self.reading = Reading(wanted=wanted, found=found, upto=upto)

    @precondition(lambda self: self.reading is not None)
    @rule()
    def take_read(self) -> None:
        assert self.reading is not None
        reading, self.reading = self.reading, None
        self.lane.is_reading = False
        self.lane.take_read(reading.wanted, reading.found, reading.upto)

    def _unfinished(self, sequence: int) -> Unfinished:
        row = self.rows[sequence]
        return Unfinished(row.event, row.attempt, row.due_us)

    # -- what always holds -------------------------------------------------------------------

    @invariant()
    def every_count_is_true(self) -> None:
        lane = self.lane
        active = [*lane.ready, *self.running, *self.committing]
        waiting = [item for items in lane.busy.values() for item in items or ()]
        jobs = [item for item in waiting if isinstance(item, Job)]
        assert lane.open == len(active)
        assert lane.waiting == len(waiting)
        assert lane.waiting_jobs == len(jobs)
        assert lane.retrying == len(self.retrying)
        assert lane.chars == sum(job.size for job in [*active, *jobs, *self.retrying])
        assert len(set(lane.unread)) == len(lane.unread), "a key is read for once"

    @invariant()
    def memory_is_bounded(self) -> None:
        lane = self.lane
        returned = len(self.returned)
        # A page is taken whole when it comes, and read only below half of the bounds.
        assert lane.open <= WINDOW + PAGE + returned
        assert lane.chars <= WINDOW_CHARS + (2 * PAGE + 1 + returned) * (BIGGEST + 10)

    @invariant()
    def nothing_is_held_twice(self) -> None:
        lane = self.lane
        waiting = [item for items in lane.busy.values() for item in items or ()]
        active = [*lane.ready, *self.running, *self.committing, *self.retrying]
        held = [job.sequence for job in active]
        held += [item.sequence if isinstance(item, Job) else item for item in waiting]
        assert len(held) == len(set(held))
        # What is neither held nor beyond the lane's position was lost.
        if self.reading is None:
            for sequence, row in self.rows.items():
                if not row.is_over and sequence <= lane.position:
                    assert sequence in held

    def _finish(self) -> None:
        """From any state on, all of it gets done."""
        for _ in range(40 * (len(self.rows) + 10)):
            if self.page is not None:
                self.take_page()
            elif self.reading is not None:
                self.take_read()
            elif self.running:
                self.succeed(0, True)
            elif self.committing:
                self.commit(0)
            elif self.lane.ready:
                self.begin()
            elif self.lane.unread:
                self.read_waiting(PAGE)
            elif self.retrying:
                self.become_due(0)
            elif self.lane.wants_page():
                self.read_page(PAGE)
            else:
                break
            self.every_count_is_true()
        assert all(row.is_over for row in self.rows.values()), "all is done in the end"
        assert self.lane.is_idle
        assert not self.lane.busy
        assert self.lane.chars == 0


TestLaneModel = LaneModel.TestCase
TestLaneModel.settings = settings(max_examples=examples(50), stateful_step_count=60, deadline=None)
