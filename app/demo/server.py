"""A server of the demo's own, for when none answers: what `make run` starts, as a child."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from types import TracebackType
from typing import Self
from urllib.parse import urlsplit

from app.config import LOOPBACK_NAMES
from app.demo.verdicts import Reader, ServerError
from app.variables import PROJECT_ROOT

START_TIMEOUT_S = 20.0
STOP_TIMEOUT_S = 6.0
TokenFor = Callable[[], str | None]
_POLL_S = 0.05


class OwnServer:
    """A server process for ``url``; a context manager that waits for its start and stops it."""

    def __init__(self, url: str, on_end: Callable[[], None], token_for: TokenFor) -> None:
        """``on_end`` is called when it ends, in a thread of its own, ``demo-server``.

        ``token_for`` finds what it lets the command line in by.

        Raises ServerError for an address at which no server can be started from here.
        """
        parts = urlsplit(url)
        host = parts.hostname or ""
        is_local = host in LOOPBACK_NAMES or host == "::1"
        if parts.scheme != "http" or not is_local or parts.path.strip("/"):
            raise ServerError("it is not an address of this machine to start a server at")
        self._url = url
        self._token_for = token_for
        self.sequence = 0
        """The position of its log at its start."""
        self._on_end = on_end
        self._environment = {
            "EVENTBUS_LOG_LEVEL": "warning",  # its audit lines would drown what the demo says
            **os.environ,
            "HOST": host,
            "PORT": str(parts.port or 80),
        }
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def has_ended(self) -> bool:
        """Whether the process was started and is gone."""
        return self._process is not None and self._process.poll() is not None

    def __enter__(self) -> Self:
        """Raises ServerError when it does not start; its own output says why."""
        self._process = subprocess.Popen(
            [sys.executable, "-m", "gunicorn", "--config", "gunicorn.conf.py", "wsgi:app"],
            cwd=PROJECT_ROOT,
            env=self._environment,
            stdin=subprocess.DEVNULL,
            # Out of the terminal's reach: at Ctrl-C the platform ends first, then its server.
            start_new_session=True,
        )
        try:
            self._wait()
        except BaseException:
            self._stop()
            raise
        threading.Thread(target=self._watch, name="demo-server", daemon=True).start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._stop()

    def _wait(self) -> None:
        deadline = time.monotonic() + START_TIMEOUT_S
        while True:
            reader = Reader(self._url, token=self._token_for())
            try:
                self.sequence = reader.sequence()
                return
            except ServerError as error:
                if self.has_ended:
                    raise ServerError("the server that was started there ended at once") from None
                if time.monotonic() > deadline:
                    raise ServerError(f"the server that was started there: {error}") from None
            finally:
                reader.close()
            time.sleep(_POLL_S)

    def _watch(self) -> None:
        assert self._process is not None, "it is watched once it was started"
        self._process.wait()
        self._on_end()

    def _stop(self) -> None:
        process = self._process
        if process is None or process.poll() is not None:
            return
        process.terminate()
        try:
            process.wait(STOP_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
