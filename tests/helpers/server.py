"""The real server in a process of its own, on a free port and a database of its own."""

from __future__ import annotations

import contextlib
import http.client
import os
import re
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import Self

from tests.helpers.api import Api
from tests.helpers.databases import server_variables
from tests.helpers.waiting import wait_until
from tests.helpers.websocket import WebSocket
from tests.helpers.zygote import Forked, zygote

ROOT = Path(__file__).resolve().parents[2]
START_TIMEOUT_S = 90.0
STOP_TIMEOUT_S = 10.0
_MOST_STARTS = 5
_PORT_PAUSE_S = 0.5
_LIVE_AT = re.compile(r"is live at http://127\.0\.0\.1:(\d+)/")


def clean_environment(**variables: str) -> dict[str, str]:
    """This process's environment without what configures a server, with ``variables`` added."""
    kept = {
        name: value
        for name, value in os.environ.items()
        if name not in ("HOST", "PORT", "WEB_CONCURRENCY", "GUNICORN_CMD_ARGS", "FLASK_APP")
        and not name.startswith("EVENTBUS_")
    }
    return {**kept, "PYTHONUNBUFFERED": "1", **variables}


class ServerProcess:
    """A running server; a context manager that starts and stops it.

    ``app`` names the WSGI app, ``variables`` are environment variables of it. The database stays
    over ``stop``, ``kill9`` and ``start`` again; so does the port, once it is known.
    """

    def __init__(self, directory: Path, app: str = "wsgi:app", **variables: str) -> None:
        self.directory = directory
        self.database = directory / "events.db"
        self.port = 0
        self.api: Api
        self._app = app
        self._variables = variables
        self._log = directory / "server.log"
        self._process: Forked | None = None

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self.is_running:
            self.stop()

    @property
    def url(self) -> str:
        """``http://127.0.0.1:PORT``, without a slash at the end."""
        return f"http://127.0.0.1:{self.port}"

    @property
    def is_running(self) -> bool:
        """Whether the process is there."""
        return self._process is not None and self._process.poll() is None

    @property
    def pid(self) -> int:
        """The process that takes signals."""
        assert self._process is not None, "the server was never started"
        return self._process.pid

    def start(self) -> None:
        """Start it and wait until it answers. Raises AssertionError with its output if not."""
        for _ in range(_MOST_STARTS):
            started_at = self._log.stat().st_size if self._log.exists() else 0
            self.launch()
            wait_until(
                lambda at=started_at: not self.is_running or self._answers(at),
                "the server answers",
                START_TIMEOUT_S,
            )
            # Started again on a port that somebody's connection has been given meanwhile.
            said = self._log.read_bytes()[started_at:]
            if self.is_running or b"Address already in use" not in said:
                break
            time.sleep(_PORT_PAUSE_S)
        assert self.is_running, f"the server ended at its start:\n{self.output()}"
        self.api = Api(self.port)

    def launch(self) -> None:
        """Start it without waiting for anything."""
        environment = clean_environment(
            **{
                "PORT": str(self.port),
                **server_variables(self.database),
                **self._variables,
            }
        )
        with self._log.open("ab") as log:
            arguments = ["gunicorn", "--config", "gunicorn.conf.py", self._app]
            self._process = zygote().fork(arguments, environment, log)

    def stop(self, with_signal: signal.Signals = signal.SIGTERM) -> float:
        """Ask it to end as a supervisor does; gives the seconds that it took."""
        started = time.monotonic()
        os.kill(self.pid, with_signal)
        self.wait_ended()
        return time.monotonic() - started

    def interrupt(self) -> float:
        """Ctrl-C in its terminal, which signals the whole group; gives the seconds it took."""
        started = time.monotonic()
        os.killpg(self.pid, signal.SIGINT)
        self.wait_ended()
        return time.monotonic() - started

    def kill9(self) -> None:
        """Kill it at whatever instruction it is."""
        os.killpg(self.pid, signal.SIGKILL)
        self.wait_ended()
        # The arbiter is gone, but its worker may have the port and the database a moment longer.
        wait_until(lambda: not _has_members(self.pid), "all of a killed server is gone")

    def wait_ended(self) -> int:
        """Wait for its end; gives the exit code. It is killed and an error if it does not end."""
        assert self._process is not None, "the server was never started"
        try:
            return self._process.wait(STOP_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            os.killpg(self.pid, signal.SIGKILL)
            self._process.wait()
            raise AssertionError(
                f"the server did not end in {STOP_TIMEOUT_S:g} s:\n{self.output()}"
            ) from None

    def cpu_s(self) -> float:
        """The processor's time that it has used since its start, in steps of 10 ms."""
        # Of the user's part and the kernel's, fields 14 and 15.
        ticks = sum(int(fields[11]) + int(fields[12]) for fields in _members(self.pid))
        return ticks / os.sysconf("SC_CLK_TCK")

    def output(self) -> str:
        """Everything that it wrote, over all its starts."""
        return self._log.read_text(errors="replace") if self._log.exists() else ""

    def new_api(self) -> Api:
        """A client of its own for another thread."""
        return Api(self.port)

    def websocket(self, path: str) -> WebSocket:
        """An open WebSocket to ``path``, which may have a query."""
        return WebSocket(f"ws://127.0.0.1:{self.port}{path}")

    def _answers(self, started_at: int) -> bool:
        if self.port == 0:
            found = _LIVE_AT.findall(self._log.read_bytes()[started_at:].decode(errors="replace"))
            if not found:
                return False
            self.port = int(found[-1])
        api = Api(self.port, timeout_s=5.0)
        try:
            return api.get("/healthz").status == 200
        except (OSError, http.client.HTTPException):
            return False
        finally:
            api.close()


def _has_members(group: int) -> bool:
    """Whether a living process belongs to the process group; told only where there is /proc."""
    return any(fields[0] not in "ZX" for fields in _members(group))


def _members(group: int) -> Iterator[list[str]]:
    """What proc_pid_stat(5) says of each process of a group, from the third field (state) on."""
    for file in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):
            fields = file.read_text().rpartition(")")[2].split()
            if int(fields[2]) == group:
                yield fields
