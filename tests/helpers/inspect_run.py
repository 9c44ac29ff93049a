"""Runs Inspect AI in a process of its own, offline, and reads the logs that it wrote."""

from __future__ import annotations

import subprocess
import sys
import threading
import time
from dataclasses import dataclass
from pathlib import Path

from inspect_ai.log import EvalLog, EvalSample, list_eval_logs, read_eval_log

from tests.helpers.server import clean_environment

ROOT = Path(__file__).resolve().parents[2]
QUICKSTART = ROOT / "docs" / "examples" / "inspect_quickstart.py"
TIMEOUT_S = 300


@dataclass(frozen=True, slots=True)
class InspectResult:
    """What a run left: its logs by task name, what it printed, how long it took."""

    logs: dict[str, EvalLog]
    output: str
    duration_s: float

    @property
    def work_s(self) -> float:
        """Seconds from the first sample's start to the last one's end, without imports."""
        times = [t for log in self.logs.values() for s in samples(log) for t in _span(s)]
        return max(times) - min(times)


class InspectProcess:
    """A running ``python SCRIPT``; ``url`` is the bus to publish to, None for none."""

    def __init__(self, log_dir: Path, url: str | None, script: Path, *arguments: str) -> None:
        self._log_dir = log_dir
        variables = {"INSPECT_LOG_DIR": str(log_dir), "INSPECT_DISPLAY": "plain", "COLUMNS": "999"}
        variables["PYTHONPATH"] = str(ROOT)  # this checkout, whatever else is installed
        if url is not None:
            variables["EVENTBUS_URL"] = url
        self._lines: list[str] = []
        self._started_s = time.monotonic()
        self.process = subprocess.Popen(
            [sys.executable, str(script), *arguments],
            cwd=log_dir,
            env=clean_environment(**variables),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    @property
    def output(self) -> str:
        """What it has printed so far."""
        return "".join(self._lines)

    def finish(self) -> InspectResult:
        """Wait for its end; AssertionError with its output unless it ends well."""
        try:
            code = self.process.wait(TIMEOUT_S)
        finally:
            self.process.kill()
            self._reader.join(5)
        assert code == 0, self.output
        found = [read_eval_log(info) for info in list_eval_logs(str(self._log_dir))]
        logs = {log.eval.task: log for log in found}
        return InspectResult(logs, self.output, time.monotonic() - self._started_s)

    def _read(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self._lines.append(line)


def samples(log: EvalLog) -> list[EvalSample]:
    """The samples of a log; none for one that has none."""
    return log.samples or []


def _span(sample: EvalSample) -> tuple[float, float]:
    from datetime import datetime

    assert sample.started_at and sample.completed_at
    started, completed = (
        datetime.fromisoformat(text).timestamp()
        for text in (sample.started_at, sample.completed_at)
    )
    return started, completed
