"""Threads for what may block: sync handlers and reads from the log on the dispatcher's behalf."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable

_MAX_THREADS = 256
_IDLE_S = 30.0


class WorkerPool:
    """Daemon threads "eventbus-worker-N", started when all others are busy, at most 256.

    Daemons, because a handler that hangs must not keep the process from ending; the standard
    library's executor joins its threads at exit.
    """

    def __init__(self) -> None:
        self._condition = threading.Condition()  # guards everything below
        self._jobs: deque[Callable[[], None]] = deque()
        self._idle = 0
        self._threads = 0
        self._is_closed = False

    def submit(self, job: Callable[[], None]) -> None:
        """Run ``job`` in a thread; it must not raise. RuntimeError when there can be none."""
        with self._condition:
            self._jobs.append(job)
            if self._idle >= len(self._jobs) or self._threads >= _MAX_THREADS:
                self._condition.notify()
                return
            self._threads += 1
            name = f"eventbus-worker-{self._threads}"
        try:
            threading.Thread(target=self._run, name=name, daemon=True).start()
        except RuntimeError:  # the system allows no more threads
            with self._condition:
                self._threads -= 1
                if self._threads == 0 and job in self._jobs:
                    self._jobs.remove(job)
                    raise
                self._condition.notify()

    def close(self) -> None:
        """Let idle threads end; running jobs are left to themselves."""
        with self._condition:
            self._is_closed = True
            self._condition.notify_all()

    def _run(self) -> None:
        while True:
            with self._condition:
                while not self._jobs:
                    if self._is_closed:
                        self._threads -= 1
                        return
                    self._idle += 1
                    is_notified = self._condition.wait(_IDLE_S)
                    self._idle -= 1
                    if not is_notified and not self._jobs:
                        self._threads -= 1
                        return
                job = self._jobs.popleft()
            job()
