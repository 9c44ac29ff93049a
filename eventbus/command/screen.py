"""Where a command writes: results to the output, all else to the error output, in colour or not."""

from __future__ import annotations

import contextlib
import os
import shutil
import sys
from collections.abc import Mapping
from typing import Any, TextIO

from eventbus.command.safe import safe, safe_json

WIDTH = 80

_CODES = {
    "bold": "1", "dim": "2", "reverse": "7", "red": "31", "green": "32", "yellow": "33",
    "blue": "34", "magenta": "35", "cyan": "36", "pink": "95", "indigo": "94", "olive": "92",
}  # fmt: skip


class Painted(str):
    """Text that is for the terminal as it is: harmless already, and perhaps with colour."""

    __slots__ = ()


class Screen:
    """Two streams, and what is known of the terminals behind them.

    Whatever is written goes through ``safe`` first, unless it is Painted.
    """

    def __init__(
        self,
        out: TextIO,
        err: TextIO,
        colour: str = "auto",
        environ: Mapping[str, str] = os.environ,
    ) -> None:
        """``colour`` is auto, always or never; auto heeds NO_COLOR (no-color.org) and TERM."""
        self.out = out
        self.err = err
        self.is_tty = out.isatty()
        self._out_colour = _has_colour(self.is_tty, colour, environ)
        self._err_colour = _has_colour(err.isatty(), colour, environ)
        self.has_lines = _can_write("├─✓", out)  # box drawing and marks

    @classmethod
    def standard(cls, colour: str = "auto") -> Screen:
        """The one of this process; what its encoding cannot write is escaped."""
        for stream in (sys.stdout, sys.stderr):
            if hasattr(stream, "reconfigure"):
                stream.reconfigure(errors="backslashreplace")
        return cls(sys.stdout, sys.stderr, colour)

    @property
    def has_progress(self) -> bool:
        """Whether somebody sees what is drawn on the error output."""
        return self.err.isatty()

    @property
    def width(self) -> int | None:
        """Columns of the terminal; None when the output is none, and has any width."""
        return self.size()[0] if self.is_tty else None

    def size(self) -> tuple[int, int]:
        """Columns and lines."""
        found = shutil.get_terminal_size((WIDTH, 24))
        with contextlib.suppress(OSError, ValueError):
            found = os.get_terminal_size(self.out.fileno())
        return max(20, found.columns or WIDTH), max(5, found.lines or 24)

    def paint(self, text: str, *styles: str) -> Painted:
        """``text`` in these styles, names of ``_CODES``; harmless in any case."""
        return _painted(text, styles, self._out_colour)

    def paint_note(self, text: str, *styles: str) -> Painted:
        """As ``paint``, for the error output."""
        return _painted(text, styles, self._err_colour)

    def line(self, *parts: str) -> None:
        """A line of the result."""
        self.out.write(joined(parts) + "\n")

    def lines(self, text: str, indent: str = "", *styles: str) -> None:
        """Text of several lines."""
        for line in text.split("\n"):
            self.line(indent, self.paint(line.expandtabs(4).rstrip("\r"), *styles))

    def json(self, value: Any) -> None:
        """A value as a line of JSON."""
        self.out.write(safe_json(value) + "\n")

    def note(self, *parts: str) -> None:
        """A line beside the result."""
        self.err.write(joined(parts) + "\n")
        self.err.flush()

    def flush(self) -> None:
        self.out.flush()


def joined(parts: tuple[str, ...] | list[str]) -> Painted:
    """Parts in a row, each made harmless unless it is Painted."""
    return Painted("".join(part if isinstance(part, Painted) else safe(part) for part in parts))


def _painted(text: str, styles: tuple[str, ...], is_on: bool) -> Painted:
    plain = text if isinstance(text, Painted) else safe(text)
    codes = ";".join(_CODES[style] for style in styles if style)
    return Painted(f"\x1b[{codes}m{plain}\x1b[0m" if is_on and codes else plain)


def _has_colour(is_tty: bool, colour: str, environ: Mapping[str, str]) -> bool:
    if colour != "auto":
        return colour == "always"
    return is_tty and not environ.get("NO_COLOR") and environ.get("TERM") != "dumb"


def _can_write(text: str, stream: TextIO) -> bool:
    try:
        text.encode(stream.encoding or "ascii")
    except (UnicodeError, LookupError):
        return False
    return True
