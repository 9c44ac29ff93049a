"""A producer that keeps a journal: what it sent, and what the server acknowledged."""

from __future__ import annotations

import http.client
import random
import threading
from typing import Any

from tests.helpers.server import ServerProcess

_AWAY = (OSError, http.client.HTTPException)
_PAUSE_S = 0.05


class Producer:
    """One thread that publishes single events and batches until it is stopped.

    Every event has an id of ours; what was not acknowledged, because the server died or said so,
    is sent again as it was. ``acknowledged`` are the ids whose answer came.
    """

    def __init__(self, server: ServerProcess, number: int, seed: int) -> None:
        self.number = number
        self.acknowledged: set[str] = set()
        self.refusals: list[str] = []
        self._server = server
        self._random = random.Random(f"{seed}-{number}")
        self._count = 0
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name=f"producer-{number}")

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        """End after the unacknowledged events were acknowledged."""
        self._stop.set()
        self._thread.join(timeout=20.0)
        assert not self._thread.is_alive(), f"producer {self.number} does not end"

    def _run(self) -> None:
        while not self._stop.is_set():
            size = self._random.choice((1, 1, 1, 5, 20))
            self._send_until_acknowledged([self._event() for _ in range(size)])

    def _send_until_acknowledged(self, events: list[dict[str, Any]]) -> None:
        body = events if len(events) > 1 else events[0]
        api = self._server.new_api()
        try:
            while True:
                try:
                    answer = api.post("/api/events", body)
                except _AWAY:
                    self._stop.wait(_PAUSE_S)
                    continue
                if answer.status in (200, 202):
                    self.acknowledged.update(event["id"] for event in events)
                    return
                if answer.status != 503:
                    self.refusals.append(f"{answer.status} {answer.text}")
                    return
                self._stop.wait(_PAUSE_S)
        finally:
            api.close()

    def _event(self) -> dict[str, Any]:
        self._count += 1
        name = f"{self.number}-{self._count}"
        type, data = self._content(name)
        return {"type": type, "id": name, "source": "/producer", "data": data}

    def _content(self, name: str) -> tuple[str, dict[str, Any]]:
        choose = self._random
        eval_id = f"eval-{self.number}-{choose.randrange(40)}"
        error = {"type": choose.choice(("OutOfMemory", "Timeout")), "message": "m"}
        severity = choose.choice(("critical", "minor"))
        task = {"queue": choose.choice("ab"), "task_id": f"{self.number}-{choose.randrange(60)}"}
        retries = choose.randrange(4)
        contents: list[tuple[str, dict[str, Any]]] = [
            ("evaluation.started", {"eval_id": eval_id, "retry_count": retries}),
            ("evaluation.started", {"eval_id": f"eval-{name}"}),
            ("evaluation.progress", {"eval_id": eval_id, "done": retries, "total": 4}),
            (
                "evaluation.failed",
                {
                    "eval_id": eval_id,
                    "retry_count": retries,
                    "error": {**error, "severity": severity},
                },
            ),
            ("evaluation.completed", {"eval_id": eval_id, "result": {"score": retries}}),
            ("queue.task.added", task),
            ("queue.task.processed", task),
            ("monitoring.metric.recorded", {"metric": "load", "value": retries}),
            ("storage.file.created", {"path": f"/f/{name}", "bytes": 3, "eval_id": eval_id}),
            ("alert.warning", {"service": "load", "error": error}),
            ("trouble.flaky", {"task_id": name, "failures": choose.choice((0, 0, 1, 2))}),
        ]
        return choose.choice(contents)
