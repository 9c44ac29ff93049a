"""The door for the command line of this machine: a file beside the database with a way in.

Who can read it could write the database as well, so it opens no more than is open anyway. The
secret in it lives as long as the server.
"""

from __future__ import annotations

import json
import os
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Door:
    """Where the server answers, and what it takes as proof."""

    url: str
    secret: str


def door_path(database: Path) -> Path:
    """The file of a database."""
    return database.with_name(database.name + "-door")


def open_door(database: Path, door: Door) -> None:
    """Write the file, for its owner alone. Raises OSError."""
    path = door_path(database)
    fresh = path.with_name(f"{path.name}-{os.getpid()}")
    with suppress(FileNotFoundError):
        fresh.unlink()
    descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w") as file:
        json.dump({"url": door.url, "secret": door.secret}, file)
    fresh.replace(path)


def close_door(database: Path, secret: str) -> None:
    """Remove the file if it is still that of ``secret``."""
    found = find_door(database)
    if found is not None and found.secret == secret:
        with suppress(OSError):
            door_path(database).unlink()


def find_door(database: Path) -> Door | None:
    """The door that a server has opened; None when there is none, or it is not ours to read."""
    try:
        found = json.loads(door_path(database).read_text())
        return Door(str(found["url"]), str(found["secret"]))
    except (OSError, ValueError, KeyError, TypeError):
        return None
