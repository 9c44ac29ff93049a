"""Progress of long work on the error output: a line that is redrawn, or nothing."""

from __future__ import annotations

import time
from typing import Self

from eventbus.command.safe import safe
from eventbus.command.screen import Painted, Screen
from eventbus.command.table import columns, cut

_REDRAW_S = 0.1
_BAR = 24


class Progress:
    """A context manager; its line is gone in the end. Draws nothing where nobody would see it."""

    def __init__(self, screen: Screen, label: str, before: float = 0.0) -> None:
        """``before`` is the share that was done when this began."""
        self._screen = screen
        self._label = label
        self._before = before
        self._is_shown = screen.has_progress
        self._drawn_at = 0.0
        self._began = time.monotonic()
        self._is_drawn = False
        self.is_begun = False
        """Whether anything was done yet."""
        self.told_count = 0
        """Notes so far."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.clear()

    def show(self, share: float | None, told: str) -> None:
        """How much is done, 0 to 1 or None when that is not known, and what there is to tell."""
        self.is_begun = True
        now = time.monotonic()
        if not self._is_shown or now - self._drawn_at < _REDRAW_S:
            return
        self._drawn_at = now
        took_s = now - self._began
        parts = [self._label]
        if share is not None:
            share = min(1.0, max(0.0, share))
            filled = round(share * _BAR)
            mark, rest = ("█", "░") if self._screen.has_lines else ("#", ".")
            parts.append(f"{mark * filled}{rest * (_BAR - filled)} {100 * share:3.0f} %")
        parts.append(told)
        if share and share > self._before and took_s > 2:
            parts.append(f"{took_s * (1 - share) / (share - self._before):.0f} s left")
        width = self._screen.size()[0] - 1
        text = cut(safe("  ".join(parts)), width)
        self._screen.err.write(f"\r{text}{' ' * max(0, width - columns(text))}")
        self._screen.err.flush()
        self._is_drawn = True

    def note(self, *parts: str) -> None:
        """A line that stays."""
        self.clear()
        self.told_count += 1
        self._screen.note(*parts)

    def clear(self) -> None:
        if self._is_drawn:
            self._screen.err.write(Painted("\r\x1b[K"))
            self._screen.err.flush()
            self._is_drawn = False
