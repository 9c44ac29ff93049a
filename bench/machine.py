"""The machine that was measured on: processor, memory, kernel, file system, cost of an fsync."""

from __future__ import annotations

import os
import platform
import re
import sqlite3
import statistics
import tempfile
import time
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

# Distributions that are measured or serve; in the order of the table.
_PACKAGES = (
    "sqlalchemy", "flask", "flask-sock", "simple-websocket", "gunicorn", "bubus", "pyee", "blinker",
    "pymitter", "huey", "persist-queue", "eventsourcing", "fastapi", "starlette", "uvicorn",
    "httptools", "uvloop",
)  # fmt: skip
_APPENDS = 300
_APPENDED = b"x" * 512


def described() -> list[tuple[str, str]]:
    """Name and value of everything that figures depend on."""
    return [
        ("measured", datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC")),
        ("processor", f"{_processor()}, {os.cpu_count()} cores"),
        ("load before", f"{os.getloadavg()[0]:.2f} (1 minute)"),
        ("memory", f"{_memory_gib():.1f} GiB"),
        ("kernel", f"{platform.system()} {platform.release()} {platform.machine()}"),
        ("Python", f"{platform.python_implementation()} {platform.python_version()}"),
        ("SQLite", sqlite3.sqlite_version),
        ("databases on", f"{file_system(Path(tempfile.gettempdir()))}"),
        ("append of 512 bytes and fsync", _fsync_shown()),
        ("versions", ", ".join(f"{name} {version(name)}" for name in _PACKAGES)),
    ]


def described_in_one_line() -> str:
    """For the head of a single measurement."""
    return (
        f"{os.cpu_count()} cores, {platform.system()} {platform.machine()}, "
        f"Python {platform.python_version()}, SQLite {sqlite3.sqlite_version}"
    )


def file_system(folder: Path) -> str:
    """The type of the file system that ``folder`` is on, as the kernel names it."""
    best, kind = "", "unknown"
    for line in Path("/proc/mounts").read_text().splitlines():
        _, point, name, *_ = line.split()
        inside = str(folder.resolve()).startswith(point.rstrip("/") + "/") or point == "/"
        if inside and len(point) >= len(best):
            best, kind = point, name
    return kind


def fsync_s(count: int = _APPENDS) -> list[float]:
    """Seconds that each of ``count`` appends with fsync took, ascending."""
    times = []
    with tempfile.TemporaryFile() as file:
        for _ in range(count):
            started = time.perf_counter()
            file.write(_APPENDED)
            file.flush()
            os.fsync(file.fileno())
            times.append(time.perf_counter() - started)
    return sorted(times)


def _fsync_shown() -> str:
    times = fsync_s()
    return f"median {statistics.median(times) * 1e6:,.0f} µs, p99 {times[-4] * 1e6:,.0f} µs"


def _processor() -> str:
    found = re.search(r"^model name\s*:\s*(.+)$", Path("/proc/cpuinfo").read_text(), re.M)
    return found[1] if found else platform.processor() or "unknown"


def _memory_gib() -> float:
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
