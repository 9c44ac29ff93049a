"""How much one transaction removes: as much as takes some ten milliseconds on this machine, now."""

from __future__ import annotations

from collections.abc import Sequence

from eventbus.log.removals import Candidate

# Commits wait for so long. It is aimed well below what anybody may have to wait (50 ms), because
# a disk is now and then several times slower than the moment before.
_AIM_S = 0.007
_LEAST_S = 0.0015
# On a server a chunk has some ten ways over the network, whatever it removes: fewer events than
# _FIRST would save nothing, and _AIM_S would make all chunks as small as that.
_AIM_SERVER_S = 0.02
_LEAST_SERVER_S = 0.01
_MOST = 1_000.0
_FIRST = 20.0
# Emptying a payload of so many characters costs as much as one more event.
_CHARS = 2_000


class ChunkSize:
    """Grows slowly while chunks are quick, and shrinks at once when one was not."""

    def __init__(self, is_on_server: bool = False) -> None:
        self._aim_s = _AIM_SERVER_S if is_on_server else _AIM_S
        self._least_s = _LEAST_SERVER_S if is_on_server else _LEAST_S
        self._fewest = _FIRST if is_on_server else 1.0
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

    def took(self, worked_s: float, held_s: float) -> None:
        """Learn from a chunk: how long it worked, and with its commit held up others."""
        self.longest_s = max(self.longest_s, held_s)
        factor = min(1.2, max(0.4, self._aim_s / max(held_s, 1e-6)))
        # A busy disk makes the smallest commit slow: that is no reason to make hundreds of them.
        least = min(1.2, self._least_s / max(worked_s, 1e-6))
        self.weight = min(_MOST, max(self._fewest, self.weight * max(factor, least)))
