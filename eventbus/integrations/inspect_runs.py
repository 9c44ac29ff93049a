"""Runs and tasks of Inspect AI as they go on, and the events that tell of them.

Inspect calls the end-of-task hook only for a task that ran through. One that was aborted by an
error (``fail_on_error``) or cancelled just stops, and its log comes with the end of the run, or,
after Ctrl-C, not at all. So a task that is doomed is reported as failed as soon as that is
certain, and whatever is still open when the run ends is settled then.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from eventbus.errors import EventValidationError
from eventbus.integrations import inspect_payloads as payloads
from eventbus.integrations.inspect_usage import ModelUse
from eventbus.integrations.pacing import Pacer
from eventbus.integrations.plain import cut

PROGRESS_INTERVAL_S = 0.2

Publish = Callable[..., Any]


def bounded(publish: Publish) -> Publish:
    """The same, but what is too large for a bus is published without its large parts.

    An end that is missing would leave its evaluation active for good.
    """

    def publish_bounded(type: str, data: payloads.Data, **envelope: Any) -> Any:
        try:
            return publish(type, data, **envelope)
        except EventValidationError:
            return publish(type, {**cut(data), "is_cut": True}, **envelope)

    return publish_bounded


class Task:
    """One task that runs: what has been counted, and how its events hang together."""

    def __init__(self, spec: Any, publish: Publish, pacer: Pacer) -> None:
        self.eval_id: str = spec.eval_id
        self.task_id: str = spec.task_id
        self.run_id: str = spec.run_id
        self.has_ended = False  # its end has been published
        self.is_settled = False  # by its log, so for good
        self.total = payloads.planned_total(spec)
        self.done = 0
        self.errors = 0
        self._tolerance: bool | float = True
        if spec.config.continue_on_fail or spec.config.fail_on_error is False:
            self._tolerance = False
        elif spec.config.fail_on_error is not None:
            self._tolerance = spec.config.fail_on_error
        self._doom: payloads.Data | None = None
        self._last_error: payloads.Data | None = None
        self._progress_told: tuple[int, int, int] | None = None
        self._told: str | None = None  # the sample whose final error has been published
        self._publish = publish
        self._pacer = pacer
        receipt = publish(
            "evaluation.started", payloads.started(spec, self.total), subject=self.eval_id
        )
        self._origin: str = receipt.event.id

    def tell(self, type: str, data: payloads.Data) -> None:
        """Publish an event of this task."""
        self._publish(
            type, {"eval_id": self.eval_id, **data}, subject=self.eval_id,
            correlationid=self._origin, causationid=self._origin,
        )  # fmt: skip

    def attempt_ended(self, data: Any) -> None:
        """A ``SampleAttemptEnd``: of interest when the attempt had an error."""
        if data.error is None:
            return
        self._told = None if data.will_retry else data.sample_id
        self._sample_failed(data.summary, data.sample_id, data.error, data.attempt, data.will_retry)

    def sample_ended(self, sample: Any) -> None:
        """An ``EvalSample``, after its last attempt."""
        if sample.error is None:
            self.tell("evaluation.sample.completed", payloads.sample(sample))
        elif self._told != sample.uuid:  # it failed before its attempt began, in a sandbox's start
            attempt = len(sample.error_retries or ()) + 1
            self._sample_failed(sample, sample.uuid, sample.error, attempt, will_retry=False)
        self._told = None
        if payloads.is_cancellation(sample.error):
            # The others are only called off once the limit of errors has really been enforced.
            self._fail_if_doomed()
            return
        self.done += 1
        self.total = max(self.total, self.done)  # a source may add samples while the task runs
        self.errors += sample.error is not None
        if not self.has_ended:
            self._pacer.touch(("progress", self.eval_id), self._progress, PROGRESS_INTERVAL_S)
        if sample.error is not None:
            self._last_error = payloads.error(sample.error)
            self._doom = self._doom or (self._last_error if self._is_over_limit() else None)
            if self._tolerance >= 1:  # True is 1; a share may yet turn out to be of more samples
                self._fail_if_doomed()

    def end(self, log: Any) -> None:
        """Settle the task by its ``EvalLog``, which may correct what was assumed before."""
        results = log.results
        if results is not None:
            self.total = results.total_samples
            # Samples that an earlier attempt of the task had done are reused without a hook.
            known = results.completed_samples + self.errors
            self.done = min(max(self.done, known), self.total)
        if log.status == "success":
            self._finish_progress()
            self.tell("evaluation.completed", {"result": payloads.result(log, self.errors)})
        elif not self.has_ended:
            self._finish_progress()
            self.fail(self._error_of(log), log)
        file = payloads.log_file(log.location, self.eval_id) if log.location else None
        if file is not None:
            self.tell("storage.file.created", file)
        self.has_ended = self.is_settled = True

    def fail(self, error: payloads.Data, log: Any = None) -> None:
        """Report the failure of the whole task; Inspect itself does not retry it."""
        self._finish_progress()
        data: payloads.Data = {"error": error, "max_retries": 0}
        if log is not None:
            data["result"] = payloads.result(log, self.errors)
        self.tell("evaluation.failed", data)
        self.has_ended = True

    def superseded(self) -> None:
        """Inspect has begun the same task anew under another eval id."""
        if not self.has_ended:
            why = payloads.cancelled("the task was started again")
            self.fail(self._last_error or why)

    def abandoned(self, raised: BaseException | None) -> None:
        """The run is over and there is no log of this task."""
        if self.has_ended:
            return
        if raised is None or not isinstance(raised, Exception):
            self.fail(payloads.cancelled("the run was cancelled before the task had ended"))
        else:
            self.fail(payloads.exception(raised))

    def _sample_failed(
        self, sample: Any, uuid: str, error: Any, attempt: int, will_retry: bool
    ) -> None:
        is_cancelled = payloads.is_cancellation(error)
        self.tell(
            "evaluation.sample.cancelled" if is_cancelled else "evaluation.sample.errored",
            {
                "sample_id": payloads.plain(sample.id),
                "epoch": sample.epoch,
                "uuid": uuid,
                "attempt": attempt,
                "error": payloads.cancelled("the sample was cancelled")
                if is_cancelled
                else payloads.error(error),
                "will_retry": will_retry,
            },
        )

    def _is_over_limit(self) -> bool:
        """Inspect's rule for ``fail_on_error``: any error, a number, or a share of all samples."""
        if isinstance(self._tolerance, bool):
            return self._tolerance
        limit = self._tolerance if self._tolerance >= 1 else self._tolerance * self.total
        return self.errors >= limit

    def _fail_if_doomed(self) -> None:
        if self._doom is not None and not self.has_ended:
            self.fail(self._doom)

    def _error_of(self, log: Any) -> payloads.Data:
        if log.status == "error":
            if log.error is not None:
                return payloads.error(log.error)
            return self._last_error or payloads.cancelled("the task ended in error")
        return payloads.cancelled("the task was cancelled")

    def _progress(self) -> None:
        now = (self.done, self.total, self.errors)
        if now != self._progress_told:
            self._progress_told = now
            self.tell("evaluation.progress", {"done": now[0], "total": now[1], "errors": now[2]})

    def _finish_progress(self) -> None:
        if not self.has_ended:
            self._pacer.finish(("progress", self.eval_id), self._progress)


class Recorder:
    """Turns the hooks' data into events; all methods take what the hook of that name gets.

    Called on Inspect's event loop only; put-off progress and usage go out from the pacer's thread.
    """

    def __init__(self, publish: Publish) -> None:
        self._publish = bounded(publish)
        self._pacer = Pacer()
        self._tasks: dict[str, Task] = {}
        self._origins: dict[str, str] = {}  # run id to the id of its first event
        self._use = ModelUse(self._tell_of_run, self._pacer)

    def run_start(self, data: Any) -> None:
        receipt = self._publish(
            "inspect.run.started",
            {
                "run_id": data.run_id,
                "eval_set_id": data.eval_set_id,
                "tasks": payloads.plain(data.task_names),
            },
            subject=data.run_id,
        )
        self._origins[data.run_id] = receipt.event.id

    def task_start(self, data: Any) -> None:
        for task in list(self._tasks.values()):
            if task.task_id == data.spec.task_id:
                task.superseded()
        self._tasks[data.eval_id] = Task(data.spec, self._publish, self._pacer)

    def sample_attempt_end(self, data: Any) -> None:
        if (task := self._tasks.get(data.eval_id)) is not None:
            task.attempt_ended(data)

    def sample_end(self, data: Any) -> None:
        if (task := self._tasks.get(data.eval_id)) is not None:
            task.sample_ended(data.sample)

    def model_usage(self, data: Any) -> None:
        self._use.called(data)

    def model_retry(self, data: Any) -> None:
        self._use.retried(data)

    def task_end(self, data: Any) -> None:
        if (task := self._tasks.get(data.eval_id)) is not None:
            task.end(data.log)
            self._use.flush(data.run_id)

    def run_end(self, data: Any) -> None:
        mine = {i: task for i, task in self._tasks.items() if task.run_id == data.run_id}
        for log in data.logs:
            eval_id = log.eval.eval_id
            task = mine.pop(eval_id, None)
            if task is None:
                self._tell_unknown(log, data.run_id)
                continue
            del self._tasks[eval_id]
            if not task.is_settled:
                task.end(log)
        statuses = {log.eval.eval_id: log.status for log in data.logs}
        for eval_id, task in mine.items():
            statuses[eval_id] = "error" if task.has_ended else "cancelled"
            task.abandoned(data.exception)
            del self._tasks[eval_id]
        self._use.finish(data.run_id)
        self._tell_of_run(
            "inspect.run.completed",
            {
                "run_id": data.run_id,
                "eval_set_id": data.eval_set_id,
                "evaluations": payloads.plain(statuses),
                "error": data.exception and payloads.exception(data.exception),
            },
            data.run_id,
        )
        self._origins.pop(data.run_id, None)

    def _tell_of_run(self, type: str, data: payloads.Data, run_id: str | None) -> None:
        origin = self._origins.get(run_id or "")
        self._publish(type, data, subject=run_id, correlationid=origin, causationid=origin)

    def _tell_unknown(self, log: Any, run_id: str) -> None:
        """A task that failed before it was announced; logs of other runs may come along."""
        if log.eval.run_id != run_id or log.status != "error":
            return
        spec = log.eval
        error = log.error and payloads.error(log.error)
        data = {**payloads.started(spec, payloads.planned_total(spec)), "max_retries": 0}
        data["error"] = error or payloads.cancelled("the task ended before it began")
        self._publish("evaluation.failed", data, subject=spec.eval_id)
