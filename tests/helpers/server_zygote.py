"""A process that has imported the server and forks those of the tests: a start takes 0.2 s, not 2.

Each request is a line on a socket, the app and the environment, and with it come the log file and a
pipe that tells how the server ended. One thread makes forks safe; its socket's end is its own.
"""

from __future__ import annotations

import atexit
import contextlib
import gc
import json
import os
import runpy
import select
import socket
import subprocess
import sys
import tempfile
import threading
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import BinaryIO

ROOT = Path(__file__).resolve().parents[2]
ARGUMENTS = ("gunicorn", "--config", "gunicorn.conf.py")
CHUNK_BYTES = 1 << 16


class ForkedServer:
    """A server as its test sees it: what `subprocess.Popen` says of a child."""

    def __init__(self, ended: BinaryIO) -> None:
        self._ended = ended
        self.pid = int(ended.readline())
        self.returncode: int | None = None

    def poll(self) -> int | None:
        """Its exit code, negative for a signal; None while it runs."""
        with contextlib.suppress(subprocess.TimeoutExpired):
            return self.wait(0.0)
        return None

    def wait(self, timeout: float | None = None) -> int:
        """Wait for its end. Raises `subprocess.TimeoutExpired` after ``timeout`` seconds."""
        if self.returncode is None:
            if not select.select([self._ended], [], [], timeout)[0]:
                raise subprocess.TimeoutExpired(ARGUMENTS, timeout or 0.0)
            self.returncode = int(self._ended.readline())
            self._ended.close()
        return self.returncode


class ServerZygote:
    """The tests' end."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._socket, theirs = socket.socketpair(socket.AF_UNIX)
        with theirs:
            # In a session of its own, as its servers are: Ctrl-C is for the tests.
            self._process = subprocess.Popen(
                [sys.executable, "-m", __name__, str(theirs.fileno())],
                cwd=ROOT,
                env={**os.environ, "PYTHONUNBUFFERED": "1"},
                stdin=subprocess.DEVNULL,
                pass_fds=[theirs.fileno()],
                start_new_session=True,
            )
        atexit.register(self.close)

    def fork(self, app: str, environment: Mapping[str, str], log: BinaryIO) -> ForkedServer:
        """Start a server of ``app`` that writes to ``log``."""
        readable, writable = os.pipe()
        request = json.dumps([app, dict(environment)]).encode() + b"\n"
        with self._lock:
            sent = socket.send_fds(self._socket, [request], [log.fileno(), writable])
            self._socket.sendall(request[sent:])
            os.close(writable)
            return ForkedServer(os.fdopen(readable, "rb", buffering=0))

    def close(self) -> None:
        """End it; its servers live on."""
        self._socket.close()
        self._process.wait()


@cache
def server_zygote() -> ServerZygote:
    """The one of this process."""
    return ServerZygote()


def _load() -> None:
    """Import all that a server imports on its way, by making an app and leaving it."""
    import gunicorn.app.wsgiapp
    import gunicorn.workers.gthread  # noqa: F401

    from app import create_app
    from app.config import Settings

    with tempfile.TemporaryDirectory() as directory:
        create_app(Settings.from_environment({"EVENTBUS_DATABASE_URL": f"sqlite:///{directory}/e"}))
    assert threading.active_count() == 1
    gc.collect()
    gc.freeze()  # the collector of a server need not look at what all have in common


def _serve(requests: socket.socket) -> None:
    keepers: set[int] = set()
    while True:
        request, files, _, _ = socket.recv_fds(requests, CHUNK_BYTES, 2)
        if not request:
            return
        while not request.endswith(b"\n"):
            request += requests.recv(CHUNK_BYTES)
        for keeper in list(keepers):
            if os.waitpid(keeper, os.WNOHANG)[0]:
                keepers.discard(keeper)
        log, ended = files
        if keeper := os.fork():
            keepers.add(keeper)
            os.close(log)
            os.close(ended)
            continue
        requests.close()
        if server := os.fork():
            os.close(log)
            _, status = os.waitpid(server, 0)
            os.write(ended, b"%d\n" % os.waitstatus_to_exitcode(status))
            os._exit(0)
        return _become_server(*json.loads(request), log, ended)


def _become_server(app: str, environment: dict[str, str], log: int, ended: int) -> None:
    os.setsid()
    os.dup2(log, 1)
    os.dup2(log, 2)
    os.close(log)
    os.write(ended, b"%d\n" % os.getpid())
    os.close(ended)
    os.environ.clear()
    os.environ.update(environment)
    sys.argv = [*ARGUMENTS, app]
    runpy.run_module("gunicorn", run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    _load()
    _serve(socket.socket(fileno=int(sys.argv[1])))
