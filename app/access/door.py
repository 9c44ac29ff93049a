"""The door for the command line of this machine: a file beside the database with a way in.

Who can read it could write the database as well, so it opens no more than is open anyway. The
secret in it lives as long as the server. Of processes that share a database each has its own.
"""

from __future__ import annotations

import json
import os
import socket
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

_KNOCK_S = 1.0


@dataclass(frozen=True, slots=True)
class Door:
    """Where the server answers, and what it takes as proof."""

    url: str
    secret: str


def door_path(database: Path) -> Path:
    """The file of a process, by the stem of its files."""
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
    path = door_path(database)
    found = _read(path)
    if found is not None and found.secret == secret:
        with suppress(OSError):
            path.unlink()


def find_door(database: Path) -> Door | None:
    """The door that a server of the database has opened on this machine, one that answers if any.

    None when there is none, or it is not ours to read.
    """
    there = doors(database)
    if len(there) > 1:  # a process that was killed has left its own
        there = [door for door in there if _is_answered(door)] or there
    return there[0] if there else None


def doors(database: Path) -> list[Door]:
    """Those of all processes of this machine that have the database ``database`` open."""
    first = door_path(database)
    others = sorted(database.parent.glob(f"{database.stem}-*{database.suffix}-door"))
    found = [_read(path) for path in (first, *others)]
    return [door for door in found if door is not None]


def _read(path: Path) -> Door | None:
    try:
        found = json.loads(path.read_text())
        return Door(str(found["url"]), str(found["secret"]))
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _is_answered(door: Door) -> bool:
    try:
        address = urlsplit(door.url)
        socket.create_connection((address.hostname or "", address.port or 80), _KNOCK_S).close()
    except (OSError, ValueError):
        return False
    return True
