"""A run of pytest as an evaluation: what is counted, and the events that tell of it."""

from __future__ import annotations

import logging
import platform
import time
from collections import Counter
from collections.abc import Callable
from typing import Any

from eventbus.client import RemoteEventBus
from eventbus.client.insight import is_sender
from eventbus.ids import new_id
from eventbus.integrations.pacing import Pacer
from eventbus.integrations.plain import plain, text

SOURCE = "/pytest"
PROGRESS_INTERVAL_S = 0.5
MAX_LONGREPR_CHARS = 16_000
MOST_FAILURES = 1_000
"""Failing tests with an event of their own; a run where everything fails is told by its counts."""

_CLIENT_LOGGER = logging.getLogger("eventbus.client")
_EXIT = {2: "Interrupted", 3: "InternalError", 4: "UsageError", 5: "NoTestsCollected"}


class TestRun:
    """Belongs to pytest's main thread; put-off progress goes out from the pacer's."""

    __test__ = False  # pytest collects what is named like this

    def __init__(self, url: str, name: str, config: Any) -> None:
        """Raises ValueError for a URL that cannot be used."""
        self.eval_id = f"pytest-{new_id()}"
        self.is_interrupted = False
        self._url = url.rstrip("/")
        self._name = name
        self._config = config
        self._bus = RemoteEventBus(url, source=SOURCE, timeout_s=5.0)
        self._pacer = Pacer()
        self._began_s = time.monotonic()
        self._origin: str | None = None  # the id of evaluation.started, once that is published
        self._totals: dict[str, int] = {}  # of xdist's workers, or one of ""
        self._counts: Counter[str] = Counter()  # outcomes of tests
        self._outcomes: dict[str, str] = {}  # of the tests that run now
        self._told = 0
        self._last_error: dict[str, Any] | None = None
        self._has_ended = False
        self._problem: str | None = None
        self._summary: tuple[str, bool] | None = None
        # What the client says must be in no test's captured log; it is said once, at the end.
        _CLIENT_LOGGER.addFilter(self._is_for_others)

    def safely(self, method: Callable[..., None], *arguments: Any) -> None:
        """Call it; an error is told at the end, and goes no further."""
        try:
            method(*arguments)
        except Exception as error:
            self._problem = self._problem or f"events are missing ({error!r})"

    # -- what pytest tells -------------------------------------------------------------------

    def collected(self, count: int) -> None:
        """Every test is known; on a controller of xdist, which collects nothing, it is not."""
        if not self._is_controller:
            self.collected_by("", count)

    def collected_by(self, worker: str, count: int) -> None:
        """A worker of xdist knows its tests; all know the same ones, but for ``--dist=each``."""
        self._totals[worker] = count
        self._start()

    def not_collected(self, report: Any) -> None:
        """A file or folder could not be collected."""
        self._start()
        self._counts["error"] += 1
        self._tell_failure(report, "collect", will_retry=False)

    def reported(self, report: Any) -> None:
        """One phase of a test: setup, call or teardown."""
        self._start()
        outcome = _outcome(report)
        if outcome == "rerun":  # by pytest-rerunfailures
            self._tell_failure(report, report.when, will_retry=True)
            return
        if outcome in ("failed", "error"):
            self._tell_failure(report, report.when, will_retry=False)
        known = self._outcomes.get(report.nodeid)
        # A test that failed and whose teardown fails too has failed; passing phases say the least.
        if known is None or known == "passed" or (known == "skipped" and outcome == "error"):
            self._outcomes[report.nodeid] = outcome
        if report.when not in ("setup", "call"):  # teardown, or "???" of a worker that crashed
            self.finished(report.nodeid)

    def finished(self, nodeid: str) -> None:
        """A test is over."""
        outcome = self._outcomes.pop(nodeid, None)
        if outcome is not None:
            self._counts[outcome] += 1
            self._pacer.touch("progress", self._progress, PROGRESS_INTERVAL_S)

    def end(self, status: int, reason: str) -> None:
        """The run is over, with pytest's exit status."""
        if self._has_ended:
            return
        self._start()
        for nodeid, outcome in list(self._outcomes.items()):
            if outcome != "passed":  # that would be of the setup: the test itself was cut off
                self.finished(nodeid)
        self._pacer.finish("progress", self._progress)
        self._has_ended = True
        result = self._result(status)
        if status == 0:
            self._tell("evaluation.completed", {"result": result})
            return
        error = self._error(status, reason)
        self._tell("evaluation.failed", {"error": error, "max_retries": 0, "result": result})

    def close(self, timeout_s: float) -> tuple[str, bool]:
        """Send what is left; a line that says what came of it, and whether that is all well."""
        if self._summary is None:
            self._bus.close_at_exit(timeout_s)
            _CLIENT_LOGGER.removeFilter(self._is_for_others)
            stats = self._bus.stats
            lost = stats.dropped + stats.refused
            line = f"eventbus: {self._url}/evaluations/{self.eval_id}"
            if lost:
                why = self._problem or "no answer in time"
                line = f"eventbus: {lost} of {stats.published} events were not published: {why}"
            elif self._problem:
                line += f" ({self._problem})"
            self._summary = line, not lost and not self._problem
        return self._summary

    # -- events ------------------------------------------------------------------------------

    def _start(self) -> None:
        if self._origin is not None:
            return
        import pytest

        config = self._config
        data = {
            "eval_id": self.eval_id,
            "task": text(self._name, 200),
            "total": self._total,
            "kind": "pytest",
            "arguments": plain(list(config.invocation_params.args)),
            "python": platform.python_version(),
            "pytest": pytest.__version__,
            "platform": platform.platform(terse=True),
            "workers": len(self._totals) if self._is_controller else None,
        }
        receipt = self._bus.publish("evaluation.started", data, subject=self.eval_id)
        self._origin = receipt.event.id

    def _tell(self, type: str, data: dict[str, Any]) -> None:
        self._bus.publish(
            type, {"eval_id": self.eval_id, **data}, subject=self.eval_id,
            correlationid=self._origin, causationid=self._origin,
        )  # fmt: skip

    def _tell_failure(self, report: Any, phase: str, will_retry: bool) -> None:
        longrepr = _longrepr(report)
        file, line, _ = getattr(report, "location", None) or (report.fspath, None, "")
        self._last_error = {
            "type": _error_type(report, longrepr),
            "message": _message(report, longrepr),
            "severity": "error",
            "traceback": text(longrepr[-MAX_LONGREPR_CHARS:], MAX_LONGREPR_CHARS),
        }
        self._told += 1
        if self._told > MOST_FAILURES:
            return
        data: dict[str, Any] = {
            "sample_id": text(report.nodeid),
            "phase": phase,
            "file": text(file),
            "line": None if line is None else line + 1,  # pytest counts from 0
            "duration_s": round(float(getattr(report, "duration", 0.0)), 6),
            "attempt": int(getattr(report, "rerun", 0)) + 1,
            "will_retry": will_retry,
            "error": self._last_error,
        }
        if (worker := getattr(report, "worker_id", None)) not in (None, "master"):
            data["worker"] = text(worker, 200)
        self._tell("evaluation.sample.errored", data)

    def _progress(self) -> None:
        done = sum(self._counts.values())
        errors = self._counts["failed"] + self._counts["error"]
        self._tell(
            "evaluation.progress", {"done": done, "total": max(self._total, done), "errors": errors}
        )

    def _result(self, status: int) -> dict[str, Any]:
        done = sum(self._counts.values())
        errors = self._counts["failed"] + self._counts["error"]
        return {
            "samples": {"total": max(self._total, done), "completed": done, "errors": errors},
            "outcomes": dict(self._counts),
            "duration_s": round(time.monotonic() - self._began_s, 3),
            "exit_status": status,
        }

    def _error(self, status: int, reason: str) -> dict[str, Any]:
        if self.is_interrupted:
            return {
                "type": "Cancelled",
                "message": "the run was interrupted",
                "severity": "warning",
            }
        shown = [f"{count} {outcome}" for outcome, count in sorted(self._counts.items())]
        message = text(reason or ", ".join(shown) or "no tests ran")
        kind = "TestsFailed" if status == 1 else _EXIT.get(status, f"ExitStatus{status}")
        error = {"type": kind, "message": message, "severity": "error"}
        if self._last_error is not None:
            error["traceback"] = self._last_error["traceback"]
        return error

    @property
    def _is_controller(self) -> bool:
        return bool(getattr(self._config.option, "tx", None))  # pytest-xdist's list of workers

    @property
    def _total(self) -> int:
        counts = self._totals.values()
        is_each = getattr(self._config.option, "dist", "no") == "each"
        return sum(counts) if is_each else max(counts, default=0)

    def _is_for_others(self, record: logging.LogRecord) -> bool:
        """Whether a record of the client's logger is about another client than ours."""
        if not is_sender(self._bus, record.thread):
            return True
        if record.levelno >= logging.WARNING:
            self._problem = self._problem or text(record.getMessage(), 300)
        return False


def _outcome(report: Any) -> str:
    """``passed``, ``failed``, ``error``, ``skipped``, ``xfailed``, ``xpassed`` or ``rerun``."""
    if hasattr(report, "wasxfail"):
        return "xfailed" if report.skipped else "xpassed"
    if report.failed and report.when in ("setup", "teardown"):
        return "error"
    return str(report.outcome)


def _longrepr(report: Any) -> str:
    try:
        return str(report.longreprtext)
    except Exception as error:  # a repr of somebody's object
        return f"(it cannot be shown: {type(error).__name__})"


def _crash(report: Any) -> str:
    crash = getattr(getattr(report, "longrepr", None), "reprcrash", None)
    return str(getattr(crash, "message", "") or "")


def _error_type(report: Any, longrepr: str) -> str:
    # "assert ..." is what pytest makes of an AssertionError's message.
    head = (_crash(report) or longrepr.strip()).partition("\n")[0]
    name, colon, _ = head.partition(":")
    if head.startswith("assert"):
        return "AssertionError"
    is_name = name.replace(".", "").replace("_", "").isalnum()
    return text(name.rpartition(".")[2], 200) if is_name and (colon or head == name) else "Failed"


def _message(report: Any, longrepr: str) -> str:
    lines = longrepr.strip().splitlines()
    return text(_crash(report) or (lines[-1] if lines else "it failed"))
