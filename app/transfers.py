"""Exports and imports that run now or ran lately: how far they are, and stopping them."""

from __future__ import annotations

import re
import threading
import time
from collections import OrderedDict
from typing import Literal

from app.problems import ProblemError
from eventbus.log import EventLog
from eventbus.log.unit import Unit
from eventbus.validation import shown

Kind = Literal["export", "import"]
State = Literal["waiting", "running", "finished", "stopped", "failed"]

MOST_RUNNING = 4
"""At once: each holds a thread that answers requests, for as long as it takes."""
_MOST_KEPT = 64
_RETRY_AFTER_S = 5
_STOP = "transfer-stop:"  # a topic of the log
_TOKEN = re.compile(r"[0-9a-f]{32}")


class Transfer:
    """One export or import; written by the thread that does it, read and stopped by any."""

    def __init__(self, kind: Kind, token: str | None) -> None:
        self.kind = kind
        self.token = token
        self.state: State = "waiting"
        self.count = 0
        """Events written, or lines read."""
        self.expected: int | None = None
        """How many there will be, when that is known."""
        self.share = 0.0
        """How much of all that has to be looked at is done, 0 to 1."""
        self.error: str | None = None
        self._began = time.monotonic()
        self._took_s: float | None = None
        self._stop = threading.Event()

    @property
    def is_stopping(self) -> bool:
        """Whether somebody has asked it to stop."""
        return self._stop.is_set()

    @property
    def took_s(self) -> float:
        """For how long it has run."""
        return time.monotonic() - self._began if self._took_s is None else self._took_s

    @property
    def percent(self) -> int:
        """How much is done; 100 only at the end."""
        share = self.share
        if self.expected:
            share = self.count / self.expected
        return 100 if self.state == "finished" else min(99, int(100 * share))

    def stop(self) -> None:
        """Have it end soon."""
        self._stop.set()

    def begin(self) -> None:
        self._began = time.monotonic()
        self.state = "running"

    def end(self, state: State, error: str | None = None) -> None:
        if self.state == "running":
            self._took_s = self.took_s
            self.state, self.error = state, error


class Transfers:
    """Those of one process; any thread may use it, ``_lock`` guards it."""

    def __init__(self, log: EventLog) -> None:
        self._log = log
        self._lock = threading.Lock()
        self._known: OrderedDict[str, Transfer] = OrderedDict()
        self._running: set[Transfer] = set()
        log.change_listeners.append(self._told)

    @property
    def may_be_elsewhere(self) -> bool:
        """Whether what is unknown here may run in another process."""
        return bool(self._log.channel)

    def new(self, kind: Kind, token: str | None) -> Transfer:
        """One that waits; ``token`` (32 hex digits) is how its page will ask for it.

        Raises ProblemError: 400 for another token, 429 when too many run.
        """
        if token is not None and not _TOKEN.fullmatch(token):
            raise ProblemError.parameter("token", f"must be 32 hex digits, not {shown(token)}")
        transfer = Transfer(kind, token)
        with self._lock:
            if len(self._running) >= MOST_RUNNING:
                raise ProblemError(
                    429,
                    "Too Many Requests",
                    f"{MOST_RUNNING} exports and imports run already; try again when one has ended",
                    headers={"Retry-After": str(_RETRY_AFTER_S)},
                )
            if token is not None:
                self._known[token] = transfer
                while len(self._known) > _MOST_KEPT:
                    self._known.popitem(last=False)
        return transfer

    def begin(self, transfer: Transfer) -> None:
        """It runs from now on, until ``end``."""
        with self._lock:
            self._running.add(transfer)
        transfer.begin()

    def end(self, transfer: Transfer, state: State, error: str | None = None) -> None:
        """It runs no more; the first end counts."""
        transfer.end(state, error)
        with self._lock:
            self._running.discard(transfer)

    def get(self, token: str) -> Transfer | None:
        """The transfer of a token, also for a while after it has ended."""
        with self._lock:
            return self._known.get(token)

    def stop_elsewhere(self, token: str) -> None:
        """Have the process that it runs in stop it. Raises LogWriteError."""
        if _TOKEN.fullmatch(token):
            self._log.commit(Unit(call=lambda conn: None, topic=f"{_STOP}{token}"))

    def _told(self, topics: set[str]) -> None:
        for topic in topics:
            transfer = self.get(topic.removeprefix(_STOP)) if topic.startswith(_STOP) else None
            if transfer is not None:
                transfer.stop()

    def close(self) -> None:
        """Have all of them end."""
        with self._lock:
            for transfer in self._running:
                transfer.stop()
