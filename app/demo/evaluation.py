"""One simulated evaluation: which events it causes, attempt by attempt, in their order."""

from __future__ import annotations

import random
from collections.abc import Iterator

from app.demo.catalogue import FAILURES, MODELS, NODES, TASKS, Failure
from app.demo.messages import Data, Message

RUNNER = "/demo/runner"
QUEUE = "/demo/queue"
STORAGE = "/demo/storage"

# Of the failures of a first attempt, the share that no retry cures: how evaluations exhaust.
_PERMANENT_SHARE = 0.4
_PERMANENT = tuple(failure for failure in FAILURES if failure.is_permanent)
_PASSING = tuple(failure for failure in FAILURES if not failure.is_permanent)
_FEWEST_STEPS = 4


class Evaluation:
    """What happens to one evaluation is drawn from its own number, so not from its neighbours.

    The owner takes messages from ``attempt_messages()`` one at a time, after it has said
    ``queued()``. ``attempt`` counts from 1; ``has_failed`` and ``has_completed`` tell how the last
    attempt ended. ``is_hurried`` may be set at any time: the attempt then ends well at its next
    step.
    """

    def __init__(self, run: str, number: int, seed: int, failure_rate: float, steps: int) -> None:
        """``steps`` is about how many messages an attempt should make of its progress."""
        self._random = choose = random.Random(f"{seed}/{number}")
        self.eval_id = f"eval-{run}-{number:04d}"
        self.model = choose.choice(MODELS)
        self.task = choose.choice(TASKS)
        self.total = choose.choice(self.task.totals)
        self.attempt = 1
        self.has_failed = False
        self.has_completed = False
        self.is_hurried = False
        self._failure_rate = failure_rate
        self._steps = steps
        self._permanent: Failure | None = None

    @property
    def retry_count(self) -> int:
        """How many attempts came before the present one."""
        return self.attempt - 1

    def queued(self) -> Message:
        """What is said when the next attempt is put in line."""
        self.has_failed = False
        return Message("queue.task.added", {**self._queue_task(), "task": self.task.name}, QUEUE)

    def called_off(self) -> Message:
        """What is said when its task is taken out of the queue, or off its worker."""
        return Message("queue.task.failed", {**self._queue_task(), "error": "cancelled"}, QUEUE)

    def mend(self) -> None:
        """A person wants it tried again, so whatever no retry could cure is cured now."""
        self._permanent = None

    def backoff_s(self) -> float:
        """How long the runner waits before it follows the server's wish to retry."""
        return self._random.uniform(2.0, 4.0) * 1.5**self.retry_count

    def attempt_messages(self) -> Iterator[Message]:
        """The messages of one attempt, from the queue's "started" to its end."""
        failure = self._fate()
        yield Message("queue.task.started", self._queue_task(), QUEUE)
        yield Message("evaluation.started", self._started(), RUNNER)
        sample_errors = told = 0
        until = self.total if failure is None else int(self.total * self._random.random() ** 0.7)
        for done, tells_sample in self._stretches():
            if self.is_hurried or done > until:
                break
            if self._random.random() < self._failure_rate / 10:
                sample_errors += 1
            if tells_sample:
                yield Message("evaluation.sample.completed", self._sample(done), RUNNER)
            yield Message("evaluation.progress", self._progress(done, sample_errors), RUNNER)
            told = done
        if failure is not None and not self.is_hurried:
            yield from self._fail(failure, min(until + 1, self.total))
            return
        if told < self.total:
            yield Message("evaluation.progress", self._progress(self.total, sample_errors), RUNNER)
        yield from self._complete(sample_errors)

    def _fate(self) -> Failure | None:
        """What this attempt will fail of, if it does."""
        choose = self._random
        is_unlucky = choose.random() < self._failure_rate
        if self._permanent is not None:
            return self._permanent
        if not is_unlucky:
            return None
        if self.attempt == 1 and choose.random() < _PERMANENT_SHARE:
            self._permanent = choose.choice(_PERMANENT)
            return self._permanent
        return choose.choice(_PASSING)

    def _stretches(self) -> Iterator[tuple[int, bool]]:
        """After how many samples progress is told, and whether the sample itself is too."""
        steps = max(_FEWEST_STEPS, self._steps)
        tells_samples = steps > self.total
        count = min(self.total, steps)
        for step in range(1, count + 1):
            yield self.total * step // count, tells_samples

    def _fail(self, failure: Failure, sample: int) -> Iterator[Message]:
        choose = self._random
        error = failure.error(
            model=self.model.name,
            task=self.task.name,
            sample=sample,
            node=choose.choice(NODES),
            number=choose.randrange(40, 900),
        )
        yield self._file("log", "eval", choose.randrange(4_000, 90_000))
        yield Message("queue.task.failed", {**self._queue_task(), "error": error["type"]}, QUEUE)
        self.has_failed = True  # with its last message: the answer to it may begin a new attempt
        yield Message("evaluation.failed", {**self._identity(), "error": error}, RUNNER)

    def _complete(self, sample_errors: int) -> Iterator[Message]:
        choose = self._random
        for kind, ending, low, high in (
            ("log", "eval", 300, 2_600), ("transcript", "jsonl.zst", 900, 7_000),
        ):  # fmt: skip
            yield self._file(kind, ending, self.total * choose.randrange(low, high))
        self.has_completed = True
        result = self._result(sample_errors)
        yield Message("evaluation.completed", {**self._identity(), "result": result}, RUNNER)
        yield Message("queue.task.processed", self._queue_task(), QUEUE)

    def _identity(self) -> Data:
        return {"eval_id": self.eval_id, "retry_count": self.retry_count}

    def _queue_task(self) -> Data:
        task_id = self.eval_id.replace("eval-", "task-", 1)
        return {"queue": self.model.queue, "task_id": task_id, **self._identity()}

    def _started(self) -> Data:
        return {
            **self._identity(),
            "task": self.task.name,
            "model": self.model.name,
            "dataset": self.task.dataset,
            "total": self.total,
            "worker": self._random.choice(NODES),
        }

    def _progress(self, done: int, errors: int) -> Data:
        told = {**self._identity(), "done": done, "total": self.total}
        return {**told, "errors": errors} if errors else told

    def _sample(self, number: int) -> Data:
        choose = self._random
        return {
            **self._identity(),
            "sample_id": f"{self.task.name}-{number}",
            "scores": {self.task.scorer: int(choose.random() < self._chance())},
            "tokens": choose.randrange(120, 2_400),
        }

    def _file(self, kind: str, ending: str, size: int) -> Message:
        path = f"s3://eval-artifacts/{self.task.name}/{self.eval_id}/{kind}-{self.attempt}.{ending}"
        data = {"path": path, "bytes": size, "kind": kind, "eval_id": self.eval_id}
        return Message("storage.file.created", data, STORAGE)

    def _result(self, sample_errors: int) -> Data:
        choose = self._random
        chance = self._chance()
        score = min(0.995, max(0.01, choose.gauss(chance, 0.03)))
        return {
            "accuracy": round(score, 4),
            "stderr": round((chance * (1 - chance) / self.total) ** 0.5, 4),
            "scorer": self.task.scorer,
            "samples": self.total,
            "errors": sample_errors,
            "tokens": self.total * choose.randrange(350, 1_900),
        }

    def _chance(self) -> float:
        return min(0.98, max(0.02, self.task.usual_score + self.model.skill))
