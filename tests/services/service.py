"""A service: a real server that tests and developers run as a plain process, below one folder."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from tests.helpers.ports import free_port

if TYPE_CHECKING:
    from tests.services.container import Container

_START_TIMEOUT_S = 180.0
_STOP_TIMEOUT_S = 20.0
_POLL_S = 0.1


class ServiceError(Exception):
    """A service cannot be had on this machine; the message says which and why."""


class Service(Protocol):
    """One file beside this one for each; ``root`` is its folder, with data, logs and ports.

    Ports are free ones, chosen at the first start and kept in the folder, so that a restart keeps
    them and several checkouts can run theirs at the same time.
    """

    name: str
    root: Path
    container: Container
    """In which it may run instead."""

    @property
    def port(self) -> int:
        """Where its clients connect."""

    @property
    def url(self) -> str:
        """Where it listens, as ``EVENTBUS_BROKER_URL`` and its like want it."""

    @property
    def is_running(self) -> bool: ...

    @property
    def is_installed(self) -> bool:
        """Whether ``start`` can start it as a process."""

    def install(self) -> None:
        """Get what it needs onto this machine. Raises ServiceError."""

    def start(self) -> None:
        """Start it and wait until it answers; does nothing when it runs. Raises ServiceError."""

    def stop(self) -> None:
        """Stop it in order; its data stays."""

    def kill(self) -> None:
        """End it as a crash would."""


class Process:
    """A server's process with a file for its id, so that another command can stop it."""

    def __init__(self, root: Path, name: str) -> None:
        self._pid_file = root / f"{name}.pid"
        self._log_file = root / f"{name}.log"
        self._child: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int | None:
        """The id of the process while it lives."""
        if self._child is not None and self._child.poll() is not None:
            return None
        try:
            pid = int(self._pid_file.read_text())
            os.kill(pid, 0)
        except (OSError, ValueError):
            return None
        return pid

    def start(
        self, command: Sequence[str], env: Mapping[str, str], is_up: Callable[[], bool]
    ) -> None:
        """Start it in a session of its own. Raises ServiceError when it does not come up."""
        with self._log_file.open("ab") as log:
            self._child = subprocess.Popen(
                command, env=dict(env), stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                start_new_session=True,
            )  # fmt: skip
        self._pid_file.write_text(str(self._child.pid))
        deadline = time.monotonic() + _START_TIMEOUT_S
        while not is_up():
            if self._child.poll() is not None or time.monotonic() > deadline:
                self.kill()
                tail = self._log_file.read_text(errors="replace")[-1500:]
                raise ServiceError(f"{command[0]} did not come up; its log ends with:\n{tail}")
            time.sleep(_POLL_S)

    def stop(self) -> None:
        """Ask it to end, then wait; kill it when it does not."""
        if (pid := self.pid) is None:
            return
        os.kill(pid, signal.SIGTERM)
        if not self._has_ended(_STOP_TIMEOUT_S):
            self.kill()
        self._pid_file.unlink(missing_ok=True)

    def kill(self) -> None:
        """End it and all its children at once."""
        if (pid := self.pid) is not None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(pid, signal.SIGKILL)
            self._has_ended(_STOP_TIMEOUT_S)
        self._pid_file.unlink(missing_ok=True)

    def _has_ended(self, timeout_s: float) -> bool:
        deadline = time.monotonic() + timeout_s
        while self.pid is not None:
            if time.monotonic() > deadline:
                return False
            time.sleep(_POLL_S / 2)
        return True


def kept_ports(root: Path, *names: str) -> dict[str, int]:
    """A port for each name: what the folder has written down, else free ones."""
    file = root / "ports"
    root.mkdir(parents=True, exist_ok=True)
    ports: dict[str, int] = {}
    if file.exists():
        ports = {n: int(p) for n, p in (line.split() for line in file.read_text().splitlines())}
    missing = [name for name in names if name not in ports]
    if not missing:
        return ports
    ports |= {name: free_port() for name in missing}
    part = file.with_suffix(f".{os.getpid()}")  # whole or not at all: others read it meanwhile
    part.write_text("".join(f"{name} {port}\n" for name, port in ports.items()))
    part.rename(file)
    return ports


def can_connect(port: int) -> bool:
    """Whether something listens on this machine's ``port``."""
    with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1.0):
        return True
    return False


def apt_install(*packages: str) -> None:
    """Install Debian packages as root or with sudo. Raises ServiceError."""
    root = [] if os.getuid() == 0 else ["sudo", "-n"]
    if shutil.which("apt-get") is None or (root and shutil.which("sudo") is None):
        raise ServiceError(f"needs the package {packages[0]}, and apt-get cannot install it here")
    env = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    options = ["-qq", "-y", "--no-install-recommends"]
    for command in (["apt-get", "update", "-qq"], ["apt-get", "install", *options, *packages]):
        done = subprocess.run(
            [*root, *command], env=env, capture_output=True, text=True, timeout=600, check=False
        )
    if done.returncode:
        raise ServiceError(f"installing {packages[0]} failed: {done.stderr[-500:]}")
