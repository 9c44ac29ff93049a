"""A whole terminal to draw on, given back as it was however the drawing ends."""

from __future__ import annotations

import os
import select
import signal
import sys
from collections.abc import Sequence
from types import FrameType
from typing import Any, Self

from eventbus.command.screen import Painted, Screen, joined

_BEGIN = "\x1b[?1049h\x1b[?25l"  # another page of the terminal, and no cursor
_END = "\x1b[?25h\x1b[?1049l"
_HOME = "\x1b[H"
_END_OF_LINE = "\x1b[K\n"
_REST = "\x1b[J"
_SIGNALS = ("SIGTERM", "SIGHUP")


class FullScreen:
    """A context manager. Signals that would end the process first let it give the terminal back."""

    def __init__(self, screen: Screen) -> None:
        self._screen = screen
        self._saved: list[Any] | None = None
        self._before: dict[int, Any] = {}
        self._keys = -1
        self._wakes: tuple[int, int] = (-1, -1)

    def __enter__(self) -> Self:
        self._wakes = os.pipe()
        os.set_blocking(self._wakes[1], False)
        if hasattr(signal, "SIGWINCH"):
            self._handle(signal.SIGWINCH, self._resized)
        for name in _SIGNALS:
            if hasattr(signal, name):
                self._handle(getattr(signal, name), _end)
        self._read_keys()
        self._write(_BEGIN)
        return self

    def __exit__(self, *error: object) -> None:
        try:
            self._write(_END)
        finally:
            if self._saved is not None:
                import termios

                termios.tcsetattr(self._keys, termios.TCSADRAIN, self._saved)
            for number, handler in self._before.items():
                signal.signal(number, handler)
            for end in self._wakes:
                os.close(end)

    def draw(self, lines: Sequence[str]) -> None:
        """Show these lines, and nothing of what was there before."""
        _, height = self._screen.size()
        shown = [joined([line]) for line in lines[:height]]
        self._write(_HOME + _END_OF_LINE.join(shown) + "\x1b[K" + _REST)

    def wait(self, timeout_s: float) -> str | None:
        """The key that was pressed within ``timeout_s``; None when the time is over or the
        window's size has changed.
        """
        watched = [self._wakes[0]] + ([self._keys] if self._keys >= 0 else [])
        ready, _, _ = select.select(watched, [], [], timeout_s)
        if self._wakes[0] in ready:
            os.read(self._wakes[0], 4096)
            return None
        if self._keys in ready:
            pressed = os.read(self._keys, 64)
            if not pressed:  # nobody will press any more
                self._keys = -1
            return pressed.decode(errors="replace")[:1] if len(pressed) == 1 else None
        return None

    def _read_keys(self) -> None:
        """One by one and unseen, where the input is a terminal."""
        try:
            import termios
            import tty

            keys = sys.stdin.fileno()
            self._saved = termios.tcgetattr(keys)
            tty.setcbreak(keys)
            self._keys = keys
        except (ImportError, OSError, ValueError):
            self._saved = None  # no terminal: Ctrl-C ends it all the same
        except termios.error:
            self._saved = None

    def _handle(self, number: int, handler: Any) -> None:
        self._before[number] = signal.signal(number, handler)

    def _resized(self, _number: int, _frame: FrameType | None) -> None:
        try:
            os.write(self._wakes[1], b".")
        except OSError:
            return  # it is woken already

    def _write(self, text: str) -> None:
        self._screen.out.write(Painted(text))
        self._screen.flush()


def _end(number: int, _frame: FrameType | None) -> None:
    raise SystemExit(128 + number)
