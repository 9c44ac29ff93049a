"""How much one transaction removes: as much as takes some ten milliseconds on this machine, now."""

from __future__ import annotations

from collections.abc import Sequence

from eventbus.log.removals import Candidate

# Commits wait for so long. It is aimed well below what anybody may have to wait (50 ms), because
# a disk is now and then several times slower than the moment before.
_AIM_S = 0.008
_MOST = 2_000.0
_FIRST = 20.0
# Emptying a payload of so many characters costs as much as one more event.
_CHARS = 2_000


class ChunkSize:
    """Grows slowly while chunks are quick, and shrinks at once when one was not."""

    def __init__(self) -> None:
        self.weight = _FIRST
        """How many small events, or pages, the next chunk may have."""
        self.longest_s = 0.0

    @property
    def count(self) -> int:
        return max(1, int(self.weight))

    def take(self, waiting: Sequence[Candidate]) -> tuple[Sequence[Candidate], Sequence[Candidate]]:
        """The next chunk, at least one event, and what is left."""
        weight = 0.0
        for index, each in enumerate(waiting):
            weight += 1 + each.size / _CHARS
            if weight > self.weight and index:
                return waiting[:index], waiting[index:]
        return waiting, ()

    def took(self, seconds: float) -> None:
        """Learn from a chunk."""
        self.longest_s = max(self.longest_s, seconds)
        # A single chunk says little when it was quick; one that was slow must not be repeated.
        factor = _AIM_S / max(seconds, 1e-6)
        self.weight = min(_MOST, max(1.0, self.weight * min(1.3, max(0.1, factor))))
