"""Keeping the roll-up of what flows: a thread that counts behind the log, a little at a time."""

from __future__ import annotations

import logging
import threading
import time
from datetime import datetime
from typing import TYPE_CHECKING

from eventbus.errors import BusClosedError, LogError
from eventbus.log.flow import FlowCounter
from eventbus.log.flow_events import EdgeEvents, EdgeQuery, edge_events
from eventbus.log.flow_figures import FlowFigures, FlowSeries, figures, series
from eventbus.serving import WORK
from eventbus.threads import start_thread

if TYPE_CHECKING:
    from eventbus.bus import EventBus

logger = logging.getLogger("eventbus.flow")

# How often it looks when it has counted everything, and how much of the time it may work when not.
_EVERY_S = 1.0
_SHARE = 0.2
_LEAST_REST_S = 0.02
_PRUNE_EVERY_S = 10.0
_STORAGE_RETRY_S = 5.0
_JOIN_S = 1.0


class Flow:
    """Owns the thread "eventbus-flow"; ``figures`` and ``series`` may be called from any thread.

    Publishing does not wait for it: it reads what is committed, and writes sums, one short
    transaction for up to some thousand events. What is counted is exact, also after a crash; it
    is a second or two behind the log, more after a flood.
    """

    def __init__(self, bus: EventBus) -> None:
        self._bus = bus
        self._log = bus.log
        self._counter = FlowCounter(bus.log)
        self._closing = threading.Event()
        self._thread = threading.Thread(target=self._work, name="eventbus-flow", daemon=True)

    @property
    def position(self) -> int:
        """Up to which sequence events are counted."""
        return self._counter.position

    def start(self) -> None:
        """Begin to count. Raises NoThreadError."""
        start_thread(self._thread)

    def close(self) -> None:
        """Stop after the current step; the next start goes on there."""
        self._closing.set()
        if self._thread.is_alive():
            self._thread.join(_JOIN_S)

    def figures(self, since: datetime, until: datetime) -> FlowFigures:
        """What flowed between two moments, in whole minutes; see ``FlowFigures``."""
        return figures(self._log, since, until)

    def series(self, since: datetime, until: datetime) -> FlowSeries:
        """The same by subscription and time, for small charts."""
        return series(self._log, since, until)

    def events(self, query: EdgeQuery) -> EdgeEvents:
        """The newest events of one edge."""
        return edge_events(self._log, query)

    def _work(self) -> None:
        upto = self._log.last_sequence
        version, is_done, is_ours = -1, False, True
        prune_at = 0.0
        while not self._closing.is_set():
            pause_s = _EVERY_S
            # What was recorded since the last look has hardly been handled yet: counted a second
            # later, most of it need not be noted as open.
            newest, now = self._log.last_sequence, time.monotonic()
            try:
                if not self._bus.serving.does(WORK):
                    is_ours = False
                    self._closing.wait(pause_s)
                    continue
                if not is_ours:  # another process has counted on
                    self._counter = FlowCounter(self._log)
                    is_ours, is_done = True, False
                if not is_done or version != self._log.version:
                    version = self._log.version
                    progress = self._counter.step(upto)
                    is_done = progress == "done" and upto == newest
                    upto = newest
                    if progress == "behind":
                        worked_s = time.monotonic() - now
                        pause_s = max(_LEAST_REST_S, worked_s * (1 / _SHARE - 1))
                if now >= prune_at:
                    prune_at = now + _PRUNE_EVERY_S
                    self._counter.prune(int(self._bus.now().timestamp()))
            except BusClosedError:
                return
            except LogError as error:
                logger.warning("what flows is counted later: %s", error)
                is_done, pause_s = False, _STORAGE_RETRY_S
            except Exception:
                logger.exception("what flows could not be counted")
                is_done, pause_s = False, _STORAGE_RETRY_S
            self._closing.wait(pause_s)
