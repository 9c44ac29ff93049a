"""Disks that are small, read-only or broken: mounted for a test, or made by SQLite's own means."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from eventbus import EventBus


@contextmanager
def mounted_disk(directory: Path, size_kib: int) -> Iterator[Path]:
    """A file system of its own at ``directory``; skips the test where that is not allowed."""
    directory.mkdir()
    options = f"size={size_kib}k"
    command = ["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(directory)]
    try:
        subprocess.run(command, check=True, capture_output=True, text=True, timeout=10)
    except (OSError, subprocess.CalledProcessError) as error:
        pytest.skip(f"no file system can be mounted here: {getattr(error, 'stderr', error)}")
    try:
        yield directory
    finally:
        subprocess.run(["umount", "--lazy", str(directory)], check=True, timeout=10)


def make_read_only(directory: Path) -> None:
    """Mount ``mounted_disk``'s directory so that nothing can be written; no file may be open."""
    command = ["mount", "-o", "remount,ro", str(directory)]
    subprocess.run(command, check=True, capture_output=True, timeout=10)


def pragma(bus: EventBus, text: str) -> object:
    """Run a PRAGMA on the writing connection between two commits; gives its value."""
    found: list[object] = []

    def run() -> None:
        # Past SQLAlchemy, which would begin a transaction first.
        driver = bus.log._database.writer.connection.driver_connection
        assert driver is not None
        row = driver.execute(f"PRAGMA {text}").fetchone()
        found.append(row[0] if row else None)

    bus.log._commit.exclusively(run)
    return found[0]


def fill_up(bus: EventBus) -> None:
    """Let the database not grow any more, as on a full disk; ``make_room`` ends it."""
    if bus.log.storage.is_on_server:
        forbid_writing(bus)
    else:
        pragma(bus, f"max_page_count = {pragma(bus, 'page_count')}")


def make_room(bus: EventBus) -> None:
    """End ``fill_up``."""
    if bus.log.storage.is_on_server:
        allow_writing(bus)
    else:
        pragma(bus, "max_page_count = 1000000")


def forbid_writing(bus: EventBus) -> None:
    """Have nothing written any more, as on a read-only disk; ``allow_writing`` ends it."""
    _set_read_only(bus, "on")


def allow_writing(bus: EventBus) -> None:
    """End ``forbid_writing``."""
    _set_read_only(bus, "off")


def _set_read_only(bus: EventBus, value: str) -> None:
    if not bus.log.storage.is_on_server:
        pragma(bus, f"query_only = {value}")
        return

    def run() -> None:
        driver = bus.log._database.writer.connection.driver_connection
        assert driver is not None
        driver.execute(f"SET default_transaction_read_only = {value}")
        driver.commit()

    bus.log._commit.exclusively(run)


def damage(path: Path, holding: bytes = b"x" * 400) -> None:
    """Overwrite the pages in the middle of a file that hold some text, as a broken disk does."""
    content = path.read_bytes()
    size = int.from_bytes(content[16:18], "big")
    pages = [start for start in range(0, len(content), size) if holding in content[start:][:size]]
    third = len(pages) // 3
    assert third, "the test has to publish more"
    with path.open("r+b") as file:
        for start in pages[third:-third]:  # a start reads the ends
            file.seek(start)
            file.write(b"\xa5" * size)
