"""kill -9 between any two steps of retention: nothing is lost to the read models."""

from __future__ import annotations

import random
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from handlers import install
from handlers.rebuild import rebuild
from tests.helpers.bus import open_bus
from tests.helpers.read_models import SETTINGS, decide, tables
from tests.helpers.retention_victim import STEPS
from tests.unit.handlers.test_rebuild import check, sabotage
from tests.unit.handlers.test_retention import age, settle

TIMEOUT_S = 240.0
KINDS = ("evaluation.started", "evaluation.failed", "evaluation.completed", "queue.task.added",
         "queue.task.processed", "monitoring.metric.incremented", "storage.file.created",
         "alert.critical")  # fmt: skip


def prepare(database: Path) -> None:
    chance = random.Random(7)
    with open_bus(f"sqlite:///{database}") as bus:
        handlers = install(bus, SETTINGS)
        for _ in range(10):
            bus.publish_many([
                {"type": chance.choice(KINDS), "data": {
                    "eval_id": f"e{chance.randrange(9)}", "task_id": f"t{chance.randrange(30)}",
                    "metric": "m", "by": 1, "path": f"p{chance.randrange(9)}", "bytes": 5,
                    "service": "s", "error": {"type": "X"}, "padding": "x" * 1_000,
                }}
                for _ in range(60)
            ])  # fmt: skip
            settle(bus)
        decide(bus, handlers.alerts.list().items, chance)
        settle(bus)
        last = bus.log.last_sequence
        age(bus, lambda sequence: 40.0 * (last - sequence) / last)


def retain(database: Path, step: str) -> int:
    command = [sys.executable, "-m", "tests.helpers.retention_victim", str(database), step]
    return subprocess.run(command, timeout=TIMEOUT_S, check=False).returncode


@pytest.mark.parametrize("step", STEPS)
def test_a_kill_is_harmless(tmp_path: Path, step: str) -> None:
    database = tmp_path / "events.db"
    prepare(database)
    with open_bus(f"sqlite:///{database}") as bus:
        install(bus, SETTINGS)
        before, last = tables(bus), bus.log.last_sequence
    assert retain(database, step) == -signal.SIGKILL
    with open_bus(f"sqlite:///{database}") as bus:
        install(bus, SETTINGS)
        assert check(bus) == []
        assert tables(bus) == before and bus.log.last_sequence == last
    assert retain(database, "no kill") == 0
    with open_bus(f"sqlite:///{database}") as bus:
        install(bus, SETTINGS)
        assert bus.log.removed_count > 100
        assert check(bus) == [] and tables(bus) == before
        sabotage(bus)
        rebuild(bus, SETTINGS).run()
        assert tables(bus) == before
