"""Recording alone and the whole pipeline with the log in SQLite and in PostgreSQL, in one run.

    python -m bench.databases --rounds 3

needs `make services`. Both are on this machine, PostgreSQL by way of TCP, and both have what they
acknowledge on disk; the figures are medians of the rounds, which take turns.
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

from bench import pipeline, recording
from bench.report import interleaved
from eventbus import EventBus
from tests.services import ROOT, Postgresql

_GROUPS = 20
_PIPELINE_EVENTS = 6_000


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench.databases", description=__doc__)
    parser.add_argument("--rounds", type=int, default=3)
    asked = parser.parse_args()
    server = Postgresql(ROOT / "postgresql")
    if not server.is_running:
        parser.error("PostgreSQL does not run; `make services` starts it")
    measured: dict[str, Callable[[str], float]] = {
        "record only, 1,000 a commit": _recorded_per_s,
        "one publisher, one handler": partial(_handled_per_s, 1),
        "100 publishers, one handler": partial(_handled_per_s, 100),
    }
    print(f"{'events/s':30} {'SQLite':>28} {'PostgreSQL':>28}")
    for name, measure in measured.items():
        found = interleaved(
            {
                "sqlite": partial(_on, server, False, measure),
                "postgresql": partial(_on, server, True, measure),
            },
            asked.rounds,
        )
        sqlite, postgresql = (found[key].shown("/s") for key in ("sqlite", "postgresql"))
        print(f"{name:30} {sqlite:>28} {postgresql:>28}", flush=True)


def _on(server: Postgresql, is_on_server: bool, measure: Callable[[str], float]) -> float:
    with _database(server, is_on_server) as url:
        return measure(url)


@contextmanager
def _database(server: Postgresql, is_on_server: bool) -> Iterator[str]:
    """The URL of an empty log, which is removed afterwards."""
    with tempfile.TemporaryDirectory() as folder:
        if not is_on_server:
            yield f"sqlite:///{Path(folder, 'events.db')}"
            return
        with server.schema("bench") as schema:
            yield server.url_in(schema)


def _recorded_per_s(url: str) -> float:
    return recording.recorded_per_s(url, recording.event_groups(_GROUPS))


def _handled_per_s(publishers: int, url: str) -> float:
    count = _PIPELINE_EVENTS if publishers > 1 else _PIPELINE_EVENTS // 6
    with EventBus.open(url) as bus:
        return pipeline.handled_per_s(bus, publishers, count)


if __name__ == "__main__":
    main()
