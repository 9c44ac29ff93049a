"""The files of one database under trial; every process of the harness finds them by these names."""

from __future__ import annotations

import os
from pathlib import Path


class Place:
    """One directory: the database, the journals, and what the processes tell each other by.

    The log is a file in it, or a schema of PostgreSQL that several members share, each of which
    has a beacon and plans of its own.
    """

    def __init__(self, directory: Path, member: int = 0) -> None:
        self.directory = directory
        self.member = member
        self.database = directory / "events.db"
        self.journals = directory / "journals"
        self.beacon = directory / f"beacon{member or ''}"
        self.plan = directory / f"plan{member or ''}.json"
        self.runs = directory / "runs.log"
        self.port = directory / "port"
        self.output = directory / "output.log"
        self._server_url = directory / "url"
        self._owner = directory / "owner"
        self._stop = directory / "stop"
        self._drain = directory / "drain"

    def create(self) -> None:
        """Make the directories; this process is the owner."""
        self.journals.mkdir(parents=True)
        self._owner.write_text(str(os.getpid()))

    def share(self, url: str) -> None:
        """Have the log at ``url``, which several processes may open at a time."""
        self._server_url.write_text(url)

    @property
    def is_shared(self) -> bool:
        return self._server_url.exists()

    @property
    def url(self) -> str:
        """The log's."""
        return self._server_url.read_text() if self.is_shared else f"sqlite:///{self.database}"

    @property
    def is_abandoned(self) -> bool:
        """Whether the owner is gone, so that nobody would end its processes."""
        try:
            return not is_alive(int(self._owner.read_text()))
        except FileNotFoundError:  # the whole place has been removed
            return True

    @property
    def is_stopping(self) -> bool:
        """Whether publishers are to end once everything they sent is acknowledged."""
        return self._stop.exists()

    @property
    def is_draining(self) -> bool:
        """Whether all publishers have ended, so that nothing new will come."""
        return self._drain.exists()

    def stop(self) -> None:
        self._stop.touch()

    def drain(self) -> None:
        self._drain.touch()


def is_alive(pid: int) -> bool:
    """Whether any thread of a process is there; a dead one that waits to be reaped is not.

    The first thread may be dead while another still sits in an fsync that nothing interrupts, and
    until that ends the process holds its files and their locks.
    """
    process = Path(f"/proc/{pid}")
    try:
        state = (process / "stat").read_bytes().rpartition(b")")[2].split()[0]
        return state not in (b"Z", b"X") or len(list((process / "task").iterdir())) > 1
    except (FileNotFoundError, ProcessLookupError):
        return False
