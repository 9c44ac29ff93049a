"""A process that has imported the app and forks the tests' servers and commands: 0.2 s, not 2.

Each request is a line on a socket, the arguments and the environment, and with it come the files to
read from and to write to, and a pipe that tells how the program ended. One thread makes forks safe;
its socket's end is its own.
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
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import BinaryIO

ROOT = Path(__file__).resolve().parents[2]
CHUNK_BYTES = 1 << 16


class Forked:
    """A program as its test sees it: what `subprocess.Popen` says of a child."""

    def __init__(self, arguments: Sequence[str], ended: BinaryIO) -> None:
        self.arguments = arguments
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
                raise subprocess.TimeoutExpired(self.arguments, timeout or 0.0)
            self.returncode = int(self._ended.readline())
            self._ended.close()
        return self.returncode


class Zygote:
    """The tests' end."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._socket, theirs = socket.socketpair(socket.AF_UNIX)
        with theirs:
            # In a session of its own, as its programs are: Ctrl-C is for the tests.
            self._process = subprocess.Popen(
                [sys.executable, "-m", __name__, str(theirs.fileno())],
                cwd=ROOT,
                env={**os.environ, "PYTHONUNBUFFERED": "1"},
                stdin=subprocess.DEVNULL,
                pass_fds=[theirs.fileno()],
                start_new_session=True,
            )
        atexit.register(self.close)

    def fork(
        self,
        arguments: Sequence[str],
        environment: Mapping[str, str],
        out: BinaryIO,
        err: BinaryIO | None = None,
        input: BinaryIO | None = None,
    ) -> Forked:
        """Start a program, a module and what is passed to it, in the repository's folder.

        It writes to ``out``, errors too unless there is ``err``, and reads ``input`` or nothing.
        """
        request = json.dumps([list(arguments), dict(environment)]).encode() + b"\n"
        readable, writable = os.pipe()
        with self._lock, open(os.devnull, "rb") as nothing:  # noqa: PTH123
            files = [each.fileno() for each in (input or nothing, out, err or out)]
            sent = socket.send_fds(self._socket, [request], [*files, writable])
            self._socket.sendall(request[sent:])
            os.close(writable)
            return Forked(arguments, os.fdopen(readable, "rb", buffering=0))

    def close(self) -> None:
        """End it; its programs live on."""
        self._socket.close()
        self._process.wait()


@cache
def zygote() -> Zygote:
    """The one of this process."""
    return Zygote()


def _load() -> None:
    """Import all that a server or a command imports on its way, by making an app and leaving it."""
    import flask.cli  # noqa: F401
    import gunicorn.app.wsgiapp
    import gunicorn.workers.gthread  # noqa: F401

    from app import create_app
    from app.config import Settings

    with tempfile.TemporaryDirectory() as directory:
        create_app(Settings.from_environment({"EVENTBUS_DATABASE_URL": f"sqlite:///{directory}/e"}))
    assert threading.active_count() == 1
    gc.collect()
    gc.freeze()  # the collector of a program need not look at what all have in common


def _serve(requests: socket.socket) -> None:
    keepers: set[int] = set()
    while True:
        request, files, _, _ = socket.recv_fds(requests, CHUNK_BYTES, 4)
        if not request:
            return
        while not request.endswith(b"\n"):
            request += requests.recv(CHUNK_BYTES)
        for keeper in list(keepers):
            if os.waitpid(keeper, os.WNOHANG)[0]:
                keepers.discard(keeper)
        *standard, ended = files
        if keeper := os.fork():
            keepers.add(keeper)
            for file in files:
                os.close(file)
            continue
        requests.close()
        if program := os.fork():
            for file in standard:
                os.close(file)
            _, status = os.waitpid(program, 0)
            os.write(ended, b"%d\n" % os.waitstatus_to_exitcode(status))
            os._exit(0)
        return _become(*json.loads(request), standard, ended)


def _become(
    arguments: list[str], environment: dict[str, str], standard: list[int], ended: int
) -> None:
    os.setsid()
    for number, file in enumerate(standard):
        os.dup2(file, number)
    for file in standard:
        os.close(file)
    os.write(ended, b"%d\n" % os.getpid())
    os.close(ended)
    os.environ.clear()
    os.environ.update(environment)
    sys.argv = arguments
    runpy.run_module(arguments[0], run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    _load()
    _serve(socket.socket(fileno=int(sys.argv[1])))
