"""A process that kills itself at a named step of retention: ``python -m ... DATABASE STEP``."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable
from typing import Any

from eventbus.log import removals, space
from eventbus.log.eventlog import EventLog
from eventbus.retention import RetentionRules
from eventbus.retention.folding import BaselineFold
from handlers import install
from handlers.retention import retention
from tests.helpers.bus import open_bus
from tests.helpers.read_models import SETTINGS

RULES = "queue.* keep 10d; # keep 30d payload 5d"
STEPS = {
    "a round is folded": (BaselineFold, "bring_to", 1, False),
    "all is folded": (BaselineFold, "bring_to", 1, True),
    "in the first removing transaction": (removals, "remove", 1, True),
    "before the second chunk": (removals, "remove", 2, False),
    "a chunk is committed": (EventLog, "removed", 1, True),
    "later chunks are committed": (EventLog, "removed", 3, False),
    "pages are given back": (space, "give_back", 1, True),
    "the end": (space, "checkpoint", 1, True),
}


def die_at(owner: Any, name: str, count: int, is_after: bool) -> None:
    """Have the ``count``-th call of ``owner.name`` kill this process, before or after it."""
    function: Callable[..., Any] = getattr(owner, name)
    calls = 0

    def dying(*args: Any, **options: Any) -> Any:
        nonlocal calls
        calls += 1
        result = function(*args, **options) if is_after or calls < count else None
        if calls == count:
            os.kill(os.getpid(), signal.SIGKILL)
        return result

    setattr(owner, name, dying)


def main(database: str, step: str) -> None:
    with open_bus(f"sqlite:///{database}") as bus:
        install(bus, SETTINGS)
        job = retention(bus, RetentionRules.parse(RULES), SETTINGS)
        if step == "no kill":
            job.run()
        else:
            die_at(*STEPS[step])
            job.run()


if __name__ == "__main__":
    main(*sys.argv[1:])
