"""What is read from the server while the soak runs: memory, files, lag, what it logs."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

from bench.server import Server

_EVERY_S = 10.0
_MOST_LINES = 5


@dataclass(frozen=True, slots=True)
class Reading:
    """One look, ``at_s`` seconds after the start; sizes in MiB, latencies since the look before."""

    at_s: float
    rss_mib: float
    database_mib: float
    wal_mib: float
    threads: int
    files: int
    p50_ms: float | None
    p99_ms: float | None
    lags: dict[str, int]

    @property
    def lag(self) -> int:
        """Of the subscription that is behind most."""
        return max(self.lags.values(), default=0)

    def as_dict(self) -> dict[str, object]:
        return asdict(self)


class Watch:
    """A thread, ``soak-watch``, that looks every ten seconds; ``latencies`` gives p50 and p99."""

    def __init__(
        self,
        server: Server,
        folder: Path,
        latencies: Callable[[], tuple[float | None, float | None]],
    ) -> None:
        self.readings: list[Reading] = []
        self.problems: list[str] = []
        self._server = server
        self._folder = folder
        self._latencies = latencies
        self._started = time.monotonic()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="soak-watch")

    def start(self) -> None:
        self._thread.start()

    def close(self) -> None:
        """Look for the last time and end."""
        self._stop.set()
        self._thread.join()

    def _run(self) -> None:
        is_last = False
        while not is_last:
            is_last = self._stop.wait(_EVERY_S)
            try:
                self.readings.append(self._look())
            except (OSError, RuntimeError, ValueError) as error:
                self.problems.append(f"the server could not be read: {error}")

    def _look(self) -> Reading:
        pid = self._server.worker_pid
        status = Path(f"/proc/{pid}/status").read_text()
        threads = next(line for line in status.splitlines() if line.startswith("Threads:"))
        p50_ms, p99_ms = self._latencies()
        return Reading(
            at_s=round(time.monotonic() - self._started, 1),
            rss_mib=self._server.rss_mib(),
            database_mib=_mib(self._folder / "events.db"),
            wal_mib=_mib(self._folder / "events.db-wal"),
            threads=int(threads.split()[1]),
            files=len(list(Path(f"/proc/{pid}/fd").iterdir())),
            p50_ms=p50_ms,
            p99_ms=p99_ms,
            lags=self._server.lags(),
        )


@dataclass(frozen=True, slots=True)
class Logged:
    """What the server wrote to its log: dead letters are expected, other errors are not."""

    dead_letters: int
    warnings: int
    errors: int
    lines: tuple[str, ...]


def logged(path: Path) -> Logged:
    """Counts by kind, and the first lines of those that were not expected."""
    dead_letters = warnings = errors = 0
    lines: list[str] = []
    for line in path.read_text(errors="replace").splitlines():
        if " ERROR " in line and ", dead letter: " in line:
            dead_letters += 1
            continue
        if " ERROR " in line or " CRITICAL " in line or line.startswith("Traceback"):
            errors += 1
        elif " WARNING " in line:
            warnings += 1
        else:
            continue
        if len(lines) < _MOST_LINES:
            lines.append(line[:300])
    return Logged(dead_letters, warnings, errors, tuple(lines))


def _mib(path: Path) -> float:
    return round(path.stat().st_size / 2**20, 2) if path.exists() else 0.0
