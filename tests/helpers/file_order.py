"""In which order workers get the files of tests: the long ones first, so that none ends alone."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path

import pytest

TESTS = Path(__file__).resolve().parents[1]
# Of the quick room, but each takes as long as twenty other files of it.
LONG = {
    "test_bus_exactly_once.py", "test_bus_flood.py", "test_bus_memory.py", "test_dryrun.py",
    "test_log_model.py", "test_operations.py", "test_operations_model.py", "test_plugin.py",
    "test_pytest_plugin.py", "test_scheduling_model.py",
}  # fmt: skip


def file_order(paths: Iterable[Path]) -> Callable[[pytest.Item], tuple[bool, float]]:
    """The key to sort tests by.

    The rooms take turns, so that the browser's tests, which need the processor, run beside those
    that wait for servers; the quick ones come last.
    """
    rooms: dict[str, dict[Path, None]] = {}
    for path in paths:
        room = path.relative_to(TESTS).parts[0]
        is_quick = room == "unit" and path.name not in LONG
        rooms.setdefault("quick" if is_quick else room, {})[path] = None
    turns = {
        path: (room == "quick", turn / len(files))
        for room, files in rooms.items()
        for turn, path in enumerate(files)
    }
    return lambda item: turns[item.path]
