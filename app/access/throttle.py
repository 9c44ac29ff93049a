"""Failed logins make the next attempt wait, longer each time, by name and by address."""

from __future__ import annotations

import math
import threading
from collections import OrderedDict
from dataclasses import dataclass

FREE_PER_NAME = 5
FREE_PER_ADDRESS = 20
MAX_NAME_WAIT_S = 60.0  # bounded low: others than the attackers know the name, too
MAX_ADDRESS_WAIT_S = 900.0
FORGOTTEN_AFTER_S = 3_600.0
MOST_KEYS = 20_000


@dataclass(slots=True)
class _Tally:
    failures: int
    last_s: float


class Throttle:
    """Counts failures by key; for any thread. Times are seconds of one clock that only grows.

    An attempt counts as failed until it has succeeded, so that many at once gain nothing.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()  # guards _tallies
        self._tallies: OrderedDict[tuple[str, str], _Tally] = OrderedDict()

    def begin(self, name: str | None, address: str, now_s: float) -> int:
        """Begin an attempt, and give 0; or the whole seconds to wait before it may be made.

        Without a ``name``, when nobody is claimed to be anybody yet, the address alone counts.
        """
        keys = self._keys(name, address)
        with self._lock:
            wait_s = max(self._wait_s(key, now_s) for key in keys)
            if wait_s > 0:
                return math.ceil(wait_s)
            for key in keys:
                tally = self._tallies.pop(key, None) or _Tally(0, now_s)
                if now_s - tally.last_s > FORGOTTEN_AFTER_S:
                    tally.failures = 0
                tally.failures, tally.last_s = tally.failures + 1, now_s
                self._tallies[key] = tally  # at the end: the one seen last
            while len(self._tallies) > MOST_KEYS:
                self._tallies.popitem(last=False)
            return 0

    def succeeded(self, name: str | None, address: str) -> None:
        """The name is forgiven; of the address only this attempt, for others come from there."""
        *by_name, by_address = self._keys(name, address)
        with self._lock:
            for key in by_name:
                self._tallies.pop(key, None)
            tally = self._tallies.get(by_address)
            if tally is not None:
                tally.failures = max(0, tally.failures - 1)

    def _wait_s(self, key: tuple[str, str], now_s: float) -> float:
        tally = self._tallies.get(key)
        if tally is None or now_s - tally.last_s > FORGOTTEN_AFTER_S:
            return 0.0
        is_name = key[0] == "name"
        free, most_s = (
            (FREE_PER_NAME, MAX_NAME_WAIT_S) if is_name else (FREE_PER_ADDRESS, MAX_ADDRESS_WAIT_S)
        )
        if tally.failures < free:
            return 0.0
        wait_s = min(2.0 ** min(tally.failures - free, 20), most_s)
        return tally.last_s + wait_s - now_s

    @staticmethod
    def _keys(name: str | None, address: str) -> list[tuple[str, str]]:
        by_name = [] if name is None else [("name", name.casefold()[:64])]
        return [*by_name, ("address", address)]
