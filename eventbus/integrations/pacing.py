"""At most so many calls a second per key, the last one always made."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Hashable
from dataclasses import dataclass

from eventbus.client.lifetime import end_with_the_process
from eventbus.errors import BusClosedError

log = logging.getLogger(__name__)


@dataclass(slots=True)
class _Pace:
    call: Callable[[], None]
    interval_s: float
    last_s: float
    is_due: bool = False


class Pacer:
    """Calls what it is told to, at once or, when that is too soon, a little later.

    A daemon thread, ``eventbus-pacer``, makes the late calls; it starts with the first of them.
    Methods may be called from any thread. The lock is held during a call, so that ``finish`` is
    really the end; a call must therefore be quick and must not come back here.
    """

    def __init__(self) -> None:
        self.empty_after_fork()
        end_with_the_process(self)

    def empty_after_fork(self) -> None:
        """Start afresh: in a forked child the lock may be held by a thread that is not there."""
        self._changed = threading.Condition()
        self._paces: dict[Hashable, _Pace] = {}
        self._thread: threading.Thread | None = None

    def close_at_exit(self, timeout: float) -> None:
        """What is due then is left out: whatever is put off has an end that is not."""

    def touch(self, key: Hashable, call: Callable[[], None], interval_s: float) -> None:
        """Make ``call`` now, or once ``interval_s`` seconds after the last one for this key."""
        with self._changed:
            now = time.monotonic()
            pace = self._paces.get(key)
            if pace is None:
                pace = self._paces[key] = _Pace(call, interval_s, float("-inf"))
            pace.call = call
            if now - pace.last_s >= interval_s:
                self._make(pace, now)
            elif not pace.is_due:
                pace.is_due = True
                self._wake()

    def finish(self, key: Hashable, last: Callable[[], None] | None = None) -> None:
        """Forget the key; make ``last``, else the call that was put off, if there is one."""
        with self._changed:
            pace = self._paces.pop(key, None)
            if last is not None:
                last()
            elif pace is not None and pace.is_due:
                pace.call()

    def _make(self, pace: _Pace, now: float) -> None:
        pace.is_due, pace.last_s = False, now
        pace.call()

    def _wake(self) -> None:
        if self._thread is None or not self._thread.is_alive():
            self._thread = threading.Thread(target=self._run, name="eventbus-pacer", daemon=True)
            self._thread.start()
        self._changed.notify()

    def _run(self) -> None:
        with self._changed:
            while True:
                due = [pace for pace in self._paces.values() if pace.is_due]
                now = time.monotonic()
                for pace in due:
                    if pace.last_s + pace.interval_s <= now:
                        try:
                            self._make(pace, now)
                        except BusClosedError:
                            return  # the process is ending, and nobody sends any more
                        except Exception:
                            log.exception("a put-off call failed")
                left = [pace.last_s + pace.interval_s for pace in due if pace.is_due]
                self._changed.wait(max(0.0, min(left) - time.monotonic()) if left else None)
