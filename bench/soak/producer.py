"""The load of the soak: what the demo platform says, and now and then what no handler can take."""

from __future__ import annotations

import json
import socket
import time
from collections import deque
from typing import Any

from app.demo.platform import Platform
from bench.load import answer_end, post_request
from bench.soak.frames import Decision

_BATCHES_PER_S = 20
_FAILURE_RATE = 0.12
_POISON_EVERY = 2_000
_MOST_PROBLEMS = 5


class Producer:
    """Posts batches on one connection, the next one when the last was answered and it is due.

    ``sent`` are the last sequence of each acknowledged batch and when it was sent, not yet taken
    by the owner.
    """

    def __init__(self, port: int, rate: float, seed: int) -> None:
        self.platform = Platform(
            seed=seed, rate=rate, failure_rate=_FAILURE_RATE, run=format(seed, "x")
        )
        self.sock = socket.create_connection(("127.0.0.1", port))
        self.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.sent: deque[tuple[int, float]] = deque()
        self.accepted = 0
        self.poisoned = 0
        self.late = 0  # batches that were due long before the last one was answered
        self.problems: list[str] = []
        self._rate = rate
        self._size = max(1, round(rate / _BATCHES_PER_S))
        self._started = time.perf_counter()
        self._said = self._made = 0
        self._sent_at: float | None = None
        self._data = bytearray()

    @property
    def is_waiting(self) -> bool:
        """Whether a batch has not been answered."""
        return self._sent_at is not None

    def wait_s(self, now: float) -> float:
        """How long until the next batch is due."""
        return max(0.0, self._started + self._said / self._rate - now)

    def send(self, now: float) -> None:
        """Send a batch, if it is due and the last one was answered."""
        if self.is_waiting or self.wait_s(now) > 0:
            return
        due = self._started + self._said / self._rate
        self.late += now - due > 1.0
        events = [self._next() for _ in range(self._size)]
        self._said += len(events)
        self._sent_at = time.perf_counter()
        self.sock.sendall(post_request(json.dumps(events).encode()))

    def read(self) -> bool:
        """Take an answer; False when the connection has ended or the server refused."""
        part = self.sock.recv(1 << 18)
        self._data += part
        if not part:
            self._complain("the server ended the publisher's connection")
            return False
        if not answer_end(self._data):
            return True
        head, _, body = bytes(self._data).partition(b"\r\n\r\n")
        self._data.clear()
        sent_at, self._sent_at = self._sent_at, None
        if b" 202 " not in head[:20]:
            self._complain(f"a batch was not accepted: {head[:40]!r} {body[:300]!r}")
            return True
        answers = json.loads(body)["events"]
        self.accepted += len(answers)
        self.sent.append((answers[-1]["sequence"], sent_at or 0.0))
        return True

    def hear(self, decision: Decision) -> None:
        """The server's decision about an evaluation that failed."""
        if decision.verdict == "retry":
            self.platform.hear("retry", decision.eval_id, decision.retry_count)
        else:
            self.platform.hear("exhausted", decision.eval_id, decision.retry_count)

    def _next(self) -> dict[str, Any]:
        self._made += 1
        if self._made % _POISON_EVERY == 0:
            self.poisoned += 1
            return {"type": "evaluation.completed", "source": "/soak", "data": {}}  # of which?
        message = self.platform.next()
        assert message is not None  # it has not been told to finish
        return {"type": message.type, "source": message.source, "data": message.data}

    def _complain(self, problem: str) -> None:
        if len(self.problems) < _MOST_PROBLEMS:
            self.problems.append(problem)
