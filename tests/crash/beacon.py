"""A memory map in which a process says where it is; the kernel keeps it when the process dies."""

from __future__ import annotations

import mmap
import struct
from pathlib import Path

from tests.crash.points import NAMES

STARTING, READY, DRAINED = 1, 2, 3
IDLE, IN_TRANSACTION, IN_COMMIT = 0, 1, 2
STAGES = ("outside a transaction", "in a transaction", "in a commit")

_FIELDS = ("pid", "incarnation", "phase", "stage", "fired")
_CELL = struct.Struct("<q")
_SIZE = _CELL.size * (len(_FIELDS) + len(NAMES))


class Beacon:
    """Whole numbers by name: who runs, how far it is, which point fired, how often each was passed.

    One process writes at a time; ``fired`` is 1 + the index of a point in ``NAMES``, 0 for none.
    """

    def __init__(self, path: Path) -> None:
        with path.open("a+b") as file:
            file.truncate(_SIZE)
            self._map = mmap.mmap(file.fileno(), _SIZE)

    def get(self, field: str) -> int:
        value: int = _CELL.unpack_from(self._map, _FIELDS.index(field) * _CELL.size)[0]
        return value

    def set(self, field: str, value: int) -> None:
        _CELL.pack_into(self._map, _FIELDS.index(field) * _CELL.size, value)

    def passed(self, index: int) -> None:
        """Count one pass of the point ``NAMES[index]``."""
        offset = (len(_FIELDS) + index) * _CELL.size
        _CELL.pack_into(self._map, offset, _CELL.unpack_from(self._map, offset)[0] + 1)

    def passes(self) -> dict[str, int]:
        """How often each point was passed, over all processes of this database."""
        values = _CELL.iter_unpack(self._map[len(_FIELDS) * _CELL.size :])
        return {name: value for name, (value,) in zip(NAMES, values, strict=True)}

    def close(self) -> None:
        self._map.close()
