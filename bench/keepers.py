"""Peers that keep what they accept, one event at a time: huey, persist-queue, eventsourcing."""

from __future__ import annotations

import json
import os
import tempfile
import time
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

_COUNT = 1_000
_DATA = {"eval_id": "eval-1", "done": 1, "total": 100}


def _accepted_per_s(accept: Callable[[], object], count: int = _COUNT) -> float:
    accept()
    started = time.perf_counter()
    for _ in range(count):
        accept()
    return count / (time.perf_counter() - started)


def file_per_s() -> float:
    """A line appended to a file, and an fsync: what the disk allows."""
    line = json.dumps(_DATA).encode() + b"\n"
    with tempfile.TemporaryFile() as file:

        def append() -> None:
            file.write(line)
            file.flush()
            os.fsync(file.fileno())

        return _accepted_per_s(append)


def huey_per_s(is_handled: bool) -> float:
    """Tasks enqueued on SQLite with fsync; ``is_handled``: also taken out again and run."""
    from huey import SqliteHuey

    with tempfile.TemporaryDirectory() as folder:
        huey = SqliteHuey(filename=str(Path(folder, "huey.db")), fsync=True, results=False)
        handled = [0]

        @huey.task()
        def progress(data: dict[str, Any]) -> None:
            handled[0] += 1

        def accept() -> None:
            progress(_DATA)

        def handle() -> None:
            huey.execute(huey.dequeue())

        rate = _rate(accept, handle if is_handled else None, handled)
        huey.storage.close()
        return rate


def persist_queue_per_s(is_handled: bool) -> float:
    """Items put on SQLite (WAL, synchronous by SQLite's default, FULL), got and acknowledged."""
    from persistqueue import SQLiteAckQueue

    with tempfile.TemporaryDirectory() as folder:
        queue = SQLiteAckQueue(folder, auto_commit=True)
        handled = [0]

        def accept() -> None:
            queue.put(_DATA)

        def handle() -> None:
            item = queue.get(block=False)
            handled[0] += 1
            queue.ack(item)

        rate = _rate(accept, handle if is_handled else None, handled)
        queue.close()
        return rate


@cache  # it refuses a second class of the same name
def _evaluation_aggregate() -> type[Any]:
    from eventsourcing.domain import Aggregate, event

    class Evaluation(Aggregate):
        @event("Progress")
        def __init__(self, data: dict[str, Any]) -> None:
            self.data = data

    return Evaluation


def eventsourcing_per_s() -> float:
    """An application's aggregates saved with one event each, on SQLite."""
    from eventsourcing.application import Application

    evaluation = _evaluation_aggregate()
    with tempfile.TemporaryDirectory() as folder:
        application: Application[Any] = Application(env={
            "PERSISTENCE_MODULE": "eventsourcing.sqlite",
            "SQLITE_DBNAME": str(Path(folder, "events.db")),
        })  # fmt: skip
        rate = _accepted_per_s(lambda: application.save(evaluation(_DATA)))
        application.close()
        return rate


def _rate(accept: Callable[[], None], handle: Callable[[], None] | None, count: list[int]) -> float:
    """Per second: accepted and, where there is something to handle them with, handled."""
    if handle is None:
        return _accepted_per_s(accept)

    def both() -> None:
        accept()
        handle()

    rate = _accepted_per_s(both)
    if count[0] != _COUNT + 1:
        raise RuntimeError(f"{count[0]} of {_COUNT + 1} were handled")
    return rate
