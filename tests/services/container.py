"""A service in a container of Docker instead of a process, as ``compose.yml`` beside this says."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
from pathlib import Path

from tests.services.service import ServiceError

COMPOSE_FILE = Path(__file__).with_name("compose.yml")
_LOOK_TIMEOUT_S = 20.0
_START_TIMEOUT_S = 1200.0  # its image may have to be fetched
_HEALTHY_TIMEOUT_S = 180
_TIMEOUT_S = 60.0


def docker_runs() -> bool:
    """Whether Docker Compose is on this machine, and Docker answers."""
    if shutil.which("docker") is None:
        return False
    for words in (["compose", "version"], ["info"]):
        try:
            subprocess.run(
                ["docker", *words], capture_output=True, timeout=_LOOK_TIMEOUT_S, check=True
            )
        except (OSError, subprocess.SubprocessError):
            return False
    return True


class Container:
    """The service ``name`` of the compose file; a note in ``root``, its folder, says if it is used.

    Each checkout has containers and data of its own.
    """

    def __init__(self, root: Path, name: str) -> None:
        self._name = name
        self._note = root / "container"
        self._project = f"eventbus-{hashlib.sha256(bytes(root.parent)).hexdigest()[:8]}"

    @property
    def is_used(self) -> bool:
        """Whether the service was started here last, and not stopped since."""
        return self._note.exists()

    def start(self, port: int) -> None:
        """Start it, reached by ``port`` of this machine, and wait until it is healthy.

        Raises ServiceError.
        """
        self._compose(
            "up", "--detach", "--wait", "--wait-timeout", str(_HEALTHY_TIMEOUT_S), self._name,
            port=port, timeout_s=_START_TIMEOUT_S,
        )  # fmt: skip
        self._note.touch()

    def stop(self) -> None:
        """Stop it in order; its data stays. Raises ServiceError."""
        self._compose("stop", self._name)
        self.forget()

    def forget(self) -> None:
        """It is a process from now on."""
        self._note.unlink(missing_ok=True)

    def run(self, *command: str) -> str:
        """What a command inside it prints. Raises ServiceError."""
        return self._compose("exec", "--no-TTY", self._name, *command)

    def _compose(self, *words: str, port: int | None = None, timeout_s: float = _TIMEOUT_S) -> str:
        asked = {} if port is None else {f"EVENTBUS_{self._name.upper()}_PORT": str(port)}
        command = ["docker", "compose", "-p", self._project, "-f", str(COMPOSE_FILE), *words]
        try:
            done = subprocess.run(
                command, env={**os.environ, **asked}, stdin=subprocess.DEVNULL,
                capture_output=True, text=True, timeout=timeout_s, check=False,
            )  # fmt: skip
        except (OSError, subprocess.TimeoutExpired) as error:
            raise ServiceError(f"docker compose {words[0]}: {error}") from None
        if done.returncode:
            raise ServiceError(f"docker compose {words[0]} failed: {done.stderr[-1000:]}")
        return done.stdout
