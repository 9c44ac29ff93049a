"""The lock beside a database: one process at a time, and a mark of how the last one ended."""

from __future__ import annotations

import fcntl
import os
from contextlib import suppress
from pathlib import Path
from typing import Literal

from eventbus.errors import LogLockedError

State = Literal["running", "restoring", "damaged"]

_OPEN_HERE: dict[Path, int] = {}
"""The process that holds each lock taken here: in a forked child not the child itself. (A pid in
the file tells less: containers that share a volume may have the same ones.)"""


class LockFile:
    """Held by whoever may write the database; the kernel lets go of it when a process dies.

    While it is held it has the holder's pid and what it does; closing it in good order empties
    it. So whoever finds something in it knows that the holder before it did not come that far.
    """

    def __init__(self, path: Path, state: State = "running") -> None:
        """``path`` is the database's. Raises LogLockedError, OSError."""
        self._path = path
        self._file = path.with_name(path.name + "-lock").open("a+")
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            self.found = self._read()
            self.mark(state)
            _OPEN_HERE[path] = os.getpid()
        except BlockingIOError:
            holder = self._read().partition(" ")[0] or "unknown"
            self._file.close()
            if _OPEN_HERE.get(path) == os.getpid():
                raise LogLockedError(
                    f"{path} is open in this process already: one embedded database has one bus; "
                    "use that one everywhere, or close it first"
                ) from None
            raise LogLockedError(
                f"{path} is open for writing in another process (pid {holder}): one embedded "
                "database has one bus; stop that process or use another EVENTBUS_DATABASE_URL"
            ) from None
        except BaseException:
            self._file.close()
            raise

    @property
    def found_state(self) -> str:
        """What the holder before did when it ended; empty when it ended well."""
        # Files of the first version have the pid alone, and were never emptied.
        return self.found.partition(" ")[2] or ("running" if self.found else "")

    def mark(self, state: State) -> None:
        """Say what the holder does; on disk when this returns."""
        self._write(f"{os.getpid()} {state}")

    def close(self, is_clean: bool = True) -> None:
        """Give the lock back. Idempotent."""
        if self._file.closed:
            return
        if is_clean:
            with suppress(OSError):  # then the next start looks more closely, which is no harm
                self._write("")
        _OPEN_HERE.pop(self._path, None)
        self._file.close()

    def _read(self) -> str:
        self._file.seek(0)
        return self._file.read().strip()

    def _write(self, text: str) -> None:
        self._file.truncate(0)
        self._file.write(text)
        self._file.flush()
        os.fsync(self._file.fileno())
