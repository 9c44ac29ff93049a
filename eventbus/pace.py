"""Background work that leaves others their turn: so much of a processor, in short slices."""

from __future__ import annotations

import time

# A thread that wants the interpreter waits for 5 ms before it takes it from one that computes;
# who gives it up earlier is not waited for.
_SLICE_S = 0.002
_LOOK_EVERY = 16


class Pace:
    """Call ``turn`` after every small piece of work; one thread."""

    def __init__(self, share: float = 1.0) -> None:
        """``share`` of the time may be worked, above 0 up to 1; the rest is slept."""
        self.share(share)
        self._began = time.monotonic()
        self._count = 0

    def share(self, share: float) -> None:
        """Take another share from now on."""
        if not 0 < share <= 1:
            raise ValueError(f"share must be above 0 up to 1, not {share}")
        self._rest = 1 / share - 1

    def turn(self) -> None:
        """Sleep if a slice has been worked."""
        self._count += 1
        if self._rest == 0 or self._count % _LOOK_EVERY:
            return
        worked_s = time.monotonic() - self._began
        if worked_s > _SLICE_S:
            time.sleep(min(worked_s, 0.1) * self._rest)
            self._began = time.monotonic()
