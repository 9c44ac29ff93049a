"""Fixtures of the bus's tests: a database of the test's own, and a bus on it."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from eventbus import EventBus
from eventbus.log import EventLog
from tests.helpers.bus import open_bus
from tests.helpers.databases import ON_POSTGRESQL, running_postgresql, schema_url


@pytest.fixture
def url(tmp_path: Path) -> str:
    """The URL of a database that does not exist yet."""
    path = tmp_path / "events.db"
    if ON_POSTGRESQL:
        return schema_url(running_postgresql(), str(path))
    return f"sqlite:///{path}"


@pytest.fixture
def bus(url: str) -> Iterator[EventBus]:
    """An open bus on ``url`` with fast retries."""
    with open_bus(url) as bus:
        yield bus


@pytest.fixture
def log(url: str) -> Iterator[EventLog]:
    """A log without a bus: it takes units, and nobody handles its deliveries."""
    log = EventLog(url)
    log.start(lambda recorded, batch: None)
    yield log
    log.close()


@pytest.fixture
def run_process(url: str) -> Callable[[str], subprocess.CompletedProcess[str]]:
    """Runs a script in another process that has ``bus`` open on ``url``, and ``die()``."""

    def run(script: str) -> subprocess.CompletedProcess[str]:
        head = (
            "import os, signal\nfrom tests.helpers.bus import open_bus\n"
            f"bus = open_bus({url!r})\ndef die(): os.kill(os.getpid(), signal.SIGKILL)\n"
        )
        return subprocess.run(
            [sys.executable, "-c", head + script], capture_output=True, text=True, timeout=60,
            cwd=Path(__file__).parents[3], env={**os.environ, "PYTHONPATH": "."},
        )  # fmt: skip

    return run
