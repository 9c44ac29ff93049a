"""The files beside a database: what belongs to it, and what becomes of each in a restore."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Companion:
    """A file ``database + suffix``.

    ``is_data`` when a backup must have it too: then it is itself an SQLite database, and its copy
    is made after the log's.
    """

    suffix: str
    meaning: str
    is_data: bool = False

    def of(self, database: Path) -> Path:
        """Its path beside ``database``."""
        return database.with_name(database.name + self.suffix)


COMPANIONS = (
    Companion("-wal", "what was committed and is not yet in the database itself"),
    Companion("-shm", "the index of the write-ahead log"),
    Companion("-inflight", "the deliveries that are in a handler now"),
    Companion("-baseline", "what removed events had made of the read models", is_data=True),
    Companion("-search", "the index of the history, which is made afresh when it is missing"),
    Companion("-search-wal", "what was put into the index last"),
    Companion("-search-shm", "the index of the index's write-ahead log"),
)
"""All but the lock, which stays where it is. Those of another database's would damage this one."""
