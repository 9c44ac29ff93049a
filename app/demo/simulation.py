"""Plays the platform to a bus: publishes at its rate, tells it what the server decides, ends."""

from __future__ import annotations

import time
from dataclasses import dataclass
from queue import Empty, SimpleQueue

from app.demo.pace import Pace
from app.demo.platform import Platform
from app.demo.verdicts import Heard
from eventbus.client import ClientStats, RemoteEventBus

QUIET_S = 2.0  # in the end: no longer without anything that reaches the server or is heard of it
LONGEST_END_S = 8.0  # so short of the ten seconds after which supervisors kill
FLUSH_S = 1.0
_END_POLL_S = 0.05
_LONGEST_WAIT_S = 1.0


class Stop:
    """Put into the inbox: the first asks for an orderly end, the second for an immediate one."""


Inbox = SimpleQueue[Heard | Stop]  # a signal handler may put into it: its put is reentrant


@dataclass(frozen=True, slots=True)
class Outcome:
    """What was achieved: ``sent_count`` events in ``steady_s`` seconds at the steady rate."""

    stats: ClientStats
    sent_count: int
    steady_s: float
    unfinished_count: int

    @property
    def rate(self) -> float:
        """Events per second while the rate was kept."""
        return self.sent_count / self.steady_s if self.steady_s else 0.0


class Simulation:
    """Runs in the calling thread until its time is over or ``inbox`` has a Stop."""

    def __init__(self, platform: Platform, bus: RemoteEventBus, inbox: Inbox) -> None:
        self._platform = platform
        self._bus = bus
        self._inbox = inbox

    def run(self, rate: float, duration_s: float = 0.0) -> Outcome:
        """Publish ``rate`` events/s for ``duration_s`` (0: until stopped), then end and close."""
        started_s = time.monotonic()
        self._run_steadily(rate, started_s, duration_s)
        steady_s = time.monotonic() - started_s
        sent_count = self._platform.books.said
        self._end()
        self._bus.close(FLUSH_S)
        unfinished_count = self._platform.unfinished_count
        return Outcome(self._bus.stats, sent_count, steady_s, unfinished_count)

    def _run_steadily(self, rate: float, started_s: float, duration_s: float) -> None:
        pace = Pace(rate, started_s)
        end_s = started_s + duration_s if duration_s else float("inf")
        while (now_s := time.monotonic()) < end_s:
            for _ in range(pace.take(now_s)):
                self._say()
            now_s = time.monotonic()
            wait_s = min(pace.wait_s(now_s), end_s - now_s, _LONGEST_WAIT_S)
            if self._listen(wait_s):
                return

    def _end(self) -> None:
        """What has begun may end, without regard to the rate, while the server takes it."""
        self._platform.finish()
        last_s = time.monotonic() + LONGEST_END_S
        state: tuple[int, int] | None = None
        quiet_s = 0.0
        while (now_s := time.monotonic()) < min(last_s, quiet_s or last_s):
            if self._say():
                continue
            found = (self._bus.stats.sent, self._platform.unfinished_count)
            if self._platform.is_finished and not self._bus.stats.pending:
                return
            if found != state:
                state, quiet_s = found, now_s + QUIET_S
            if self._listen(_END_POLL_S):
                return

    def _say(self) -> bool:
        message = self._platform.next()
        if message is None:
            return False
        self._bus.publish(message.type, message.data, source=message.source)
        return True

    def _listen(self, wait_s: float) -> bool:
        """Hear what comes within ``wait_s``; whether it was a stop."""
        deadline = time.monotonic() + wait_s
        while True:
            left_s = deadline - time.monotonic()
            try:
                found = self._inbox.get(timeout=left_s) if left_s > 0 else self._inbox.get_nowait()
            except Empty:
                return False
            if isinstance(found, Stop):
                return True
            self._platform.hear(found.verdict, found.eval_id, found.retry_count)
