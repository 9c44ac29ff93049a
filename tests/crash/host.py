"""What runs in every process that hosts the bus: handlers, clients, and a watch over them.

``run_library`` is a process that opens the bus itself, ``app`` (in ``wsgi``) the real server.
"""

from __future__ import annotations

import os
import signal
import threading
import time

import handlers
from eventbus import EventBus, RetryPolicy
from eventbus.log import EventLog
from tests.crash.beacon import DRAINED, READY
from tests.crash.faults import Faults
from tests.crash.ledger import MOST_ATTEMPTS, Ledger
from tests.crash.place import Place
from tests.crash.publishers import Publishers

RETRY = RetryPolicy(
    max_attempts=MOST_ATTEMPTS, timeout_s=10.0, base_delay_s=0.02, max_delay_s=0.1
)  # fmt: skip
_POLL_S = 0.02


class Host:
    """The harness's part of a process with a bus, and the thread that says how far it is."""

    def __init__(self, place: Place, faults: Faults, seed: int) -> None:
        self._place = place
        self._faults = faults
        self._seed = seed

    def start(self, bus: EventBus) -> None:
        """Subscribe the ledger's handlers and let the clients go."""
        self._bus = bus
        # One process at a time is the first member: what no lease is for is done once, too.
        Ledger(bus, self._faults).subscribe(is_first=self._place.member == 0)
        self._publishers = Publishers(bus, self._place, self._faults, self._seed)
        self._publishers.start()
        self._faults.beacon.set("phase", READY)

    def watch(self) -> None:
        """Return when everything is handled, after the place said stop and drain."""
        while not self._is_drained():
            if self._place.is_abandoned:
                os.killpg(0, signal.SIGKILL)
            time.sleep(_POLL_S)
        self._faults.beacon.set("phase", DRAINED)

    def ended(self) -> None:
        """Write down that this process ends in good order."""
        self._faults.write_run("X", "-", 0)

    def _is_drained(self) -> bool:
        if not self._place.is_draining or not self._publishers.have_ended:
            return False
        if self._bus.log.schedules.count():
            return False
        counts = self._bus.log.delivery_counts()
        return self._bus.drain(1.0) and counts["pending"] + counts["retrying"] == 0


def run_library(place: Place, seed: int) -> None:
    """Open the bus in this process, as a program that embeds it does."""
    faults = Faults(place)
    faults.install()
    bus = EventBus(EventLog(place.url, place.directory), retry=RETRY)
    handlers.install(bus)
    host = Host(place, faults, seed)
    host.start(bus)
    host.watch()
    bus.close()
    host.ended()


def watch_in_thread(host: Host) -> None:
    """As ``watch``, beside what the process does otherwise."""
    threading.Thread(target=host.watch, name="crash-watch", daemon=True).start()
