"""What goes on beside the evaluations: metrics, housekeeping jobs, and services in trouble."""

from __future__ import annotations

import random
from collections.abc import Iterator

from app.demo.catalogue import MODELS, NODES, SIDE_QUEUES, TROUBLES
from app.demo.messages import Message

MONITORING = "/demo/monitoring"
JOBS = "/demo/jobs"
_INERTIA = 0.8  # of a metric: how much of its distance from the usual value stays


class Metrics:
    """Readings of the platform, one after the other in turn, each near its last one."""

    def __init__(self, choose: random.Random) -> None:
        self._random = choose
        self._readings: dict[str, float] = {}
        self._turn = self._turns()

    def next(self) -> Message:
        """One reading."""
        name, usual, spread, unit, digits, highest = next(self._turn)
        drift = self._random.gauss(0.0, spread)
        last = self._readings.get(name, usual)
        value = min(highest, max(0.0, usual + _INERTIA * (last - usual) + drift))
        self._readings[name] = value
        data = {"metric": name, "value": round(value, digits), "unit": unit}
        return Message("monitoring.metric.recorded", data, MONITORING)

    def _turns(self) -> Iterator[tuple[str, float, float, str, int, float]]:
        """Name, usual value, spread, unit, decimals and highest value of each reading."""
        while True:
            for node, model in zip(NODES * 2, MODELS, strict=False):
                label = model.name.partition("/")[2].replace(".", "_")
                speed, latency = model.tokens_per_s, model.latency_ms
                yield f"gpu.utilisation.{node}", 0.84, 0.08, "", 3, 1.0
                yield f"latency.p95.{label}", latency * 1.9, latency / 8, "ms", 0, 60_000.0
                yield f"tokens.rate.{label}", speed, speed / 12, "tokens/s", 0, 100_000.0
                yield f"gpu.memory.{node}", 0.78, 0.05, "", 3, 1.0


class Job:
    """A task of a queue that no evaluation waits for."""

    def __init__(self, run: str, number: int, choose: random.Random, failure_rate: float) -> None:
        self._random = choose
        self._queue = choose.choice(SIDE_QUEUES)
        self._task_id = f"{self._queue}-{run}-{number:04d}"
        self._fails = choose.random() < failure_rate

    def messages(self) -> Iterator[Message]:
        """From "added" to "processed" or "failed"."""
        task = {"queue": self._queue, "task_id": self._task_id}
        yield Message("queue.task.added", task, JOBS)
        yield Message("queue.task.started", task, JOBS)
        if self._fails:
            yield Message("queue.task.failed", {**task, "error": "ConnectionResetError"}, JOBS)
            return
        if self._queue == "reports":
            path = f"s3://eval-artifacts/reports/{self._task_id}.html"
            size = self._random.randrange(40_000, 900_000)
            file = {"path": path, "bytes": size, "kind": "report"}
            yield Message("storage.file.created", file, JOBS)
        yield Message("queue.task.processed", task, JOBS)


def trouble(choose: random.Random) -> Message:
    """An alert that some service of the platform raises."""
    found = choose.choice(TROUBLES)
    message = found.message.format(node=choose.choice(NODES), number=choose.randrange(20, 900))
    severity = "critical" if found.level == "critical" else "warning"
    error = {"type": found.type, "message": message, "severity": severity}
    data = {"service": found.service, "error": error}
    return Message(f"alert.{found.level}", data, f"/demo/{found.service}")
