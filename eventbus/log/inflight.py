"""A flight recorder: which deliveries are in a handler right now, kept where a crash cannot reach.

A shared memory map costs a microsecond where a commit costs a millisecond, and the kernel keeps
its pages when the process is killed. So an attempt that takes the process down can be counted
at the next start, and no other delivery is.
"""

from __future__ import annotations

import mmap
import struct
from pathlib import Path

# Sequence (0 is a free slot), subscription, and how many attempts had ended before this one.
_ENTRY = struct.Struct("<qii")
_SLOTS = 4096
_SIZE = _ENTRY.size * _SLOTS


class InFlight:
    """Slots in a memory-mapped file; ``enter`` and ``leave`` are for the dispatcher's thread."""

    def __init__(self, path: Path) -> None:
        with path.open("a+b") as file:
            file.truncate(_SIZE)
            self._map = mmap.mmap(file.fileno(), _SIZE)
        entries = enumerate(_ENTRY.iter_unpack(self._map[:]))
        self._found = {slot: entry for slot, entry in entries if entry[0] > 0}
        self._free = [slot for slot in range(_SLOTS) if slot not in self._found]

    def found(self, subscription: int) -> list[tuple[int, int]]:
        """What was in this subscription's handler when the last process died.

        Sequences, each with the number of attempts that had ended before.
        """
        entries = self._found.values()
        return sorted((entry[0], entry[2]) for entry in entries if entry[1] == subscription)

    def forget(self, subscription: int) -> None:
        """Drop what was ``found``, once it has been counted."""
        for slot in [slot for slot, entry in self._found.items() if entry[1] == subscription]:
            del self._found[slot]
            self.leave(slot)

    def enter(self, sequence: int, subscription: int, attempt: int) -> int:
        """Note that a handler starts; returns the slot for ``leave`` (-1 when all are taken).

        ``attempt`` is the number of attempts that have ended.
        """
        if not self._free:
            return -1
        slot = self._free.pop()
        _ENTRY.pack_into(self._map, slot * _ENTRY.size, sequence, subscription, attempt)
        return slot

    def leave(self, slot: int) -> None:
        """Note that the handler in ``slot`` has ended."""
        if slot >= 0 and not self._map.closed:  # a handler may outlive the bus
            _ENTRY.pack_into(self._map, slot * _ENTRY.size, 0, 0, 0)
            self._free.append(slot)

    def close(self) -> None:
        """Forget what still runs: a stop in good order is no crash."""
        kept = dict(self._found)
        self._map[:] = bytes(_SIZE)
        for slot, entry in kept.items():  # of subscriptions that nobody served this time
            _ENTRY.pack_into(self._map, slot * _ENTRY.size, *entry)
        self._map.close()
