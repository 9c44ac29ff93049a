"""The simulated platform: dozens of evaluations at once, told as one sequence of messages."""

from __future__ import annotations

import heapq
import random
from collections import deque
from collections.abc import Iterator
from typing import Literal

from app.demo.background import Job, Metrics, trouble
from app.demo.evaluation import Evaluation
from app.demo.messages import Books, Message

Verdict = Literal["retry", "exhausted", "cancelled"]

_ATTEMPT_S = 25.0  # about how long an attempt takes
_RUNNING = (6, 60)  # at least and at most so many at once
_RUNNING_PER_RATE = 1.2
_QUEUED_SHARE = 0.4  # so many more wait in the queues
_BACKGROUND_SHARE = 0.25
_TROUBLE_SHARE = 0.05  # of the background, times the failure rate
_JOB_SHARE = 0.4
_MOST_JOBS = 6
_MOST_UNDECIDED = 2_000
_MOST_ENDED = 500


class Platform:
    """A finite-state producer without clock, network or threads; belongs to one thread.

    ``next`` gives the next message, ``hear`` takes what the server decided about a failed
    evaluation, and what a person asks of any: to stop, or to try again what was given up. Time
    passes by messages: ``rate`` of them are a second. All chance comes from ``seed``, so the same
    calls give the same messages; ``run`` tells the ids of one run from those of another.
    """

    def __init__(self, *, seed: int, rate: float, failure_rate: float, run: str) -> None:
        """``rate`` in messages per second; ``failure_rate`` from 0 to 1, of first attempts."""
        self.books = Books()
        self.capacity = min(_RUNNING[1], max(_RUNNING[0], round(rate * _RUNNING_PER_RATE)))
        self._seed = seed
        self._rate = rate
        self._failure_rate = failure_rate
        self._run = run
        self._random = random.Random(f"{seed}/platform")
        per_attempt = rate * _ATTEMPT_S * (1 - _BACKGROUND_SHARE) / self.capacity
        self._steps = round(per_attempt) - 6  # the messages that are not progress
        self._evaluation_count = 0
        self._job_count = 0
        self._is_finishing = False
        self._queued: deque[Evaluation] = deque()
        self._running: list[tuple[Evaluation, Iterator[Message]]] = []
        self._undecided: dict[str, Evaluation] = {}  # failed, and the server's word is awaited
        self._backing_off: list[tuple[float, str, Evaluation]] = []  # a heap, by time
        self._ended: dict[str, Evaluation] = {}  # given up; a person may ask for one attempt more
        self._farewells: deque[Message] = deque()
        self._jobs: list[Iterator[Message]] = []
        self._metrics = Metrics(self._random)

    @property
    def unfinished_count(self) -> int:
        """How many evaluations have begun, or wait in a queue, and have not ended."""
        running = sum(not evaluation.has_completed for evaluation, _ in self._running)
        return len(self._queued) + running + len(self._undecided) + len(self._backing_off)

    @property
    def is_finished(self) -> bool:
        """Whether nothing is left to be said or heard, after ``finish``."""
        return not (self._jobs or self._running or self._farewells or self.unfinished_count)

    def finish(self) -> None:
        """Begin nothing new; what has begun ends well at its next step."""
        self._is_finishing = True
        for evaluation, _ in self._running:
            evaluation.is_hurried = True

    def hear(self, verdict: Verdict, eval_id: str, retry_count: int) -> bool:
        """The server's decision; False when it is about nothing that is waited for here."""
        if verdict == "cancelled":
            return self._call_off(eval_id)
        if verdict == "retry" and eval_id in self._ended:
            return self._try_once_more(eval_id, retry_count)
        evaluation = self._undecided.get(eval_id)
        awaited = {"retry": 1, "exhausted": 0}
        if evaluation is None or retry_count != evaluation.retry_count + awaited[verdict]:
            return False
        del self._undecided[eval_id]
        if verdict == "exhausted":
            self.books.exhausted += 1
            self._end(evaluation)
            return True
        due_s = self._now_s() + evaluation.backoff_s()
        heapq.heappush(self._backing_off, (due_s, evaluation.eval_id, evaluation))
        return True

    def next(self) -> Message | None:
        """The next message; None when there is nothing to say, which is only so in the end."""
        if self._farewells:
            message: Message | None = self._farewells.popleft()
        else:
            message = self._next_finishing() if self._is_finishing else self._next_busy()
        if message is not None:
            self.books.enter(message)
        return message

    def _call_off(self, eval_id: str) -> bool:
        """Stop an evaluation wherever it is; its task leaves the queue, if it is in one."""
        in_queue = [each for each in self._queued if each.eval_id == eval_id]
        at_work = [each for each, _ in self._running if each.eval_id == eval_id]
        waiting = [each for _, _, each in self._backing_off if each.eval_id == eval_id]
        if failed := self._undecided.pop(eval_id, None):
            waiting.append(failed)
        if at_work and at_work[0].has_completed:
            return False  # too late
        self._queued = deque(each for each in self._queued if each not in in_queue)
        self._running = [pair for pair in self._running if pair[0] not in at_work]
        self._backing_off = [entry for entry in self._backing_off if entry[2] not in waiting]
        heapq.heapify(self._backing_off)
        self._farewells += [each.called_off() for each in in_queue + at_work]
        for evaluation in in_queue + at_work + waiting:
            self._end(evaluation)
            return True
        return False

    def _end(self, evaluation: Evaluation) -> None:
        if len(self._ended) >= _MOST_ENDED:
            del self._ended[next(iter(self._ended))]
        self._ended[evaluation.eval_id] = evaluation

    def _try_once_more(self, eval_id: str, retry_count: int) -> bool:
        evaluation = self._ended.pop(eval_id)
        evaluation.attempt = max(evaluation.attempt, retry_count)
        evaluation.mend()
        heapq.heappush(self._backing_off, (self._now_s(), eval_id, evaluation))
        return True

    def _now_s(self) -> float:
        return self.books.said / self._rate

    def _next_busy(self) -> Message:
        choose = self._random
        while True:
            if choose.random() < _BACKGROUND_SHARE:
                return self._background()
            message = self._queue_something() if choose.random() < 0.5 else None
            message = message or self._start_something() or self._step_one()
            if message is not None:
                return message

    def _next_finishing(self) -> Message | None:
        while self._jobs:
            message = next(self._jobs[0], None)
            if message is not None:
                return message
            del self._jobs[0]
        while self._running:
            message = self._step(0)
            if message is not None:
                return message
        if self._backing_off:
            return self._queue_again()
        return self._start_something()

    def _queue_something(self) -> Message | None:
        """A retry that is due, else a new evaluation when the queues have become short."""
        if self._backing_off and self._backing_off[0][0] <= self._now_s():
            return self._queue_again()
        if len(self._queued) >= self.capacity * _QUEUED_SHARE:
            return None
        self._evaluation_count += 1
        # The first ones are shorter, as if they had begun before, so that some end soon.
        share = min(1.0, self._evaluation_count / self.capacity)
        evaluation = Evaluation(
            run=self._run,
            number=self._evaluation_count,
            seed=self._seed,
            failure_rate=self._failure_rate,
            steps=round(self._steps * share),
        )
        self._queued.append(evaluation)
        return evaluation.queued()

    def _queue_again(self) -> Message:
        _, _, evaluation = heapq.heappop(self._backing_off)
        evaluation.attempt += 1
        self._queued.append(evaluation)
        return evaluation.queued()

    def _start_something(self) -> Message | None:
        if not self._queued or len(self._running) >= self.capacity:
            return None
        evaluation = self._queued.popleft()
        evaluation.is_hurried = self._is_finishing
        self._running.append((evaluation, evaluation.attempt_messages()))
        return self._step(len(self._running) - 1)

    def _step_one(self) -> Message | None:
        return self._step(self._random.randrange(len(self._running))) if self._running else None

    def _step(self, index: int) -> Message | None:
        """The next message of a running attempt; None when it was over."""
        evaluation, messages = self._running[index]
        message = next(messages, None)
        if message is None or evaluation.has_failed:
            del self._running[index]
        if evaluation.has_failed:
            self._await_verdict(evaluation)
        return message

    def _await_verdict(self, evaluation: Evaluation) -> None:
        if len(self._undecided) >= _MOST_UNDECIDED:  # the server says nothing: forget the oldest
            del self._undecided[next(iter(self._undecided))]
        self._undecided[evaluation.eval_id] = evaluation

    def _background(self) -> Message:
        choose = self._random
        if choose.random() < _TROUBLE_SHARE * self._failure_rate:
            return trouble(choose)
        if choose.random() >= _JOB_SHARE:
            return self._metrics.next()
        if len(self._jobs) < _MOST_JOBS and choose.random() < 0.5:
            self._job_count += 1
            job = Job(self._run, self._job_count, choose, self._failure_rate)
            self._jobs.append(job.messages())
        while self._jobs:
            index = choose.randrange(len(self._jobs))
            message = next(self._jobs[index], None)
            if message is not None:
                return message
            del self._jobs[index]
        return self._metrics.next()
