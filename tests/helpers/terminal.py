"""A terminal of a certain size with a command in it: what it shows, keys, and how it is left."""

from __future__ import annotations

import fcntl
import os
import pty
import select
import signal
import struct
import subprocess
import sys
import termios
from types import TracebackType
from typing import Self

from tests.helpers.server import ROOT, clean_environment
from tests.helpers.waiting import wait_until


class Terminal:
    """A context manager; ``text`` is everything that was written to it so far."""

    def __init__(
        self, url: str, *arguments: str, size: tuple[int, int] = (100, 30), **variables: str
    ) -> None:
        self.text = ""
        self._ours, self._theirs = pty.openpty()
        self.resize(*size, is_told=False)
        self.settings_before = termios.tcgetattr(self._theirs)
        self.process = subprocess.Popen(
            [sys.executable, "-m", "eventbus", *arguments],
            cwd=ROOT, stdin=self._theirs, stdout=self._theirs, stderr=self._theirs,
            env=clean_environment(EVENTBUS_URL=url, **{"TERM": "xterm-256color", **variables}),
            start_new_session=True, preexec_fn=_take_terminal,
        )  # fmt: skip

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        os.close(self._ours)
        os.close(self._theirs)

    @property
    def settings(self) -> list[object]:
        """How the terminal is set now: echo, line by line, and so on."""
        return termios.tcgetattr(self._theirs)

    def resize(self, columns: int, lines: int, *, is_told: bool = True) -> None:
        """Give the window another size, as a window manager does."""
        fcntl.ioctl(self._theirs, termios.TIOCSWINSZ, struct.pack("HHHH", lines, columns, 0, 0))
        if is_told:
            os.kill(self.process.pid, signal.SIGWINCH)

    def press(self, keys: str) -> None:
        """Type."""
        os.write(self._ours, keys.encode())

    def read(self) -> str:
        """Take what was written since."""
        while select.select([self._ours], [], [], 0)[0]:
            data = os.read(self._ours, 65_536)
            if not data:
                break
            self.text += data.decode(errors="replace")
        return self.text

    def wait_for(self, text: str, timeout_s: float = 20.0) -> None:
        """Wait until ``text`` was written."""
        wait_until(lambda: text in self.read(), f"{text!r} on the terminal", timeout_s)

    def wait_ended(self) -> int:
        """Wait for the end of the command; gives its exit code."""
        wait_until(lambda: self.read() is None or self.process.poll() is not None, "it ends", 20.0)
        self.read()
        return self.process.returncode


def _take_terminal() -> None:
    """In the child: what is typed, Ctrl-C too, is for it."""
    fcntl.ioctl(0, termios.TIOCSCTTY, 0)
