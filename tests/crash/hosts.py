"""The two kinds of process that host the bus: a program that embeds it, and the real server."""

from __future__ import annotations

import contextlib
import os
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Protocol

from tests.crash.beacon import Beacon
from tests.crash.ledger import MOST_ATTEMPTS
from tests.crash.place import Place, is_alive
from tests.crash.wsgi_names import PLACE_VARIABLE, SEED_VARIABLE
from tests.crash.zygote import Zygote
from tests.helpers.ports import free_port
from tests.helpers.server import ServerProcess

_POLL_S = 0.003
_DEATH_S = 10.0


class Host(Protocol):
    """``pid`` is the process with the bus; killing it need not be the end of the host."""

    kind: str

    def start(self) -> None: ...

    @property
    def pid(self) -> int: ...

    @property
    def is_alive(self) -> bool: ...

    def kill(self) -> None: ...

    def stop(self) -> None: ...


class LibraryHost:
    """A forked process that opens the bus itself; it ends by itself when it has drained."""

    kind = "library"

    def __init__(self, place: Place, seed: int, zygote: Zygote) -> None:
        self._place = place
        self._seed = seed
        self._zygote = zygote
        self.pid = 0

    def start(self) -> None:
        self.pid = self._zygote.fork("library", self._place, self._seed)

    @property
    def is_alive(self) -> bool:
        return self.pid > 0 and is_alive(self.pid)

    def kill(self) -> None:
        if self.pid:
            kill(self.pid)
            wait_for(lambda: not self.is_alive, _DEATH_S, "a killed process is gone")

    def stop(self) -> None:
        wait_for(lambda: not self.is_alive, _DEATH_S, "a drained library host ends")


class ServerHost:
    """gunicorn with the app; when its worker alone is killed, the arbiter starts another."""

    kind = "server"

    def __init__(self, place: Place, seed: int, beacon: Beacon) -> None:
        self._beacon = beacon
        self._before = 0
        self._group = 0
        self._server = ServerProcess(
            place.directory,
            "tests.crash.wsgi:app",
            EVENTBUS_BACKOFF_FIRST_S="0.02",
            EVENTBUS_BACKOFF_MAX_S="0.1",
            EVENTBUS_MAX_ATTEMPTS=str(MOST_ATTEMPTS),
            EVENTBUS_HANDLER_TIMEOUT_S="10",
            EVENTBUS_LOG_LEVEL="error",
            EVENTBUS_MAX_SOCKETS="4",
            **{PLACE_VARIABLE: str(place.directory), SEED_VARIABLE: str(seed)},
        )
        self._server.port = free_port()
        place.port.write_text(str(self._server.port))

    def start(self) -> None:
        self._before = self._beacon.get("incarnation")
        self._server.launch()
        self._group = self._server.pid

    @property
    def pid(self) -> int:
        return self._beacon.get("pid") if self._beacon.get("incarnation") > self._before else 0

    @property
    def is_alive(self) -> bool:
        """Whether the worker lives, or is still to come."""
        return self._server.is_running and (self.pid == 0 or is_alive(self.pid))

    def kill(self) -> None:
        if self._server.is_running:
            with contextlib.suppress(ProcessLookupError):
                self._server.kill9()
        # The arbiter is gone, but a worker that it had just started may hold the log a moment yet.
        group = self._group
        wait_for(lambda: not _has_members(group), _DEATH_S, "a killed server is gone")

    def kill_worker(self) -> None:
        """As the kernel does when memory is short: the arbiter lives on and starts another."""
        pid = self.pid
        assert pid > 0, "only a worker that has come can be killed alone"
        self._before = self._beacon.get("incarnation")
        kill(pid)
        wait_for(lambda: not is_alive(pid), _DEATH_S, "a killed worker is gone")

    def stop(self) -> None:
        self._server.stop()


def kill(pid: int) -> None:
    """`kill -9`, of one that may be dead already."""
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, signal.SIGKILL)


def wait_for(condition: Callable[[], bool], timeout_s: float, what: str = "") -> bool:
    """Whether it came true in time; with ``what``, TimeoutError if not."""
    deadline = time.monotonic() + timeout_s
    while not condition():
        if time.monotonic() > deadline:
            if what:
                raise TimeoutError(f"after {timeout_s:g} s still not: {what}")
            return False
        time.sleep(_POLL_S)
    return True


def _has_members(group: int) -> bool:
    """Whether a living process belongs to the process group."""
    return group > 0 and any(
        is_alive(int(path.name)) and _group_of(int(path.name)) == group
        for path in Path("/proc").iterdir()
        if path.name.isdigit()
    )


def _group_of(pid: int) -> int:
    try:
        return os.getpgid(pid)
    except ProcessLookupError:
        return 0
