"""Which of a machine's processes fills the index of a log on a server: one at a time."""

from __future__ import annotations

import fcntl
from pathlib import Path

from eventbus.log.search.index_file import SUFFIX


class Filler:
    """A lock on a file beside the index; the kernel lets go of it when its process dies."""

    def __init__(self, log_path: Path) -> None:
        """Raises OSError."""
        self._index = log_path.with_name(log_path.name + SUFFIX)
        self._file = log_path.with_name(f"{log_path.name}{SUFFIX}-lock").open("a")
        self._is_here = False
        self._inode: int | None = None

    def is_here(self) -> bool:
        """Whether it is this process, from now on if nobody else is."""
        if not self._is_here:
            try:
                fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                return False
            self._is_here = True
        return True

    @property
    def has_file(self) -> bool:
        return self._inode is not None

    def is_new_file(self) -> bool:
        """Whether the index's file is another one than at the last call."""
        before = self._inode
        try:
            self._inode = self._index.stat().st_ino
        except FileNotFoundError:
            self._inode = None
        return self._inode != before

    def close(self) -> None:
        """Leave it to another process."""
        self._file.close()
