"""Recording alone: units into the log against the bare sqlite3 driver, same schema and groups."""

from __future__ import annotations

import sqlite3
import tempfile
import time
from pathlib import Path

from bench.report import Figure, median_of
from eventbus.event import Event
from eventbus.log import EventLog
from eventbus.log.unit import Unit
from eventbus.timestamps import to_microseconds

_GROUP = 1_000
_GROUPS = 30


def event_groups(groups: int = _GROUPS) -> list[list[Event]]:
    """Events to record, a thousand in each group."""
    return [
        [Event.create("evaluation.progress", {"eval_id": f"eval-{g}-{i}", "done": i, "total": 100})
         for i in range(_GROUP)]
        for g in range(groups)
    ]  # fmt: skip


def _ours_per_s() -> float:
    groups = event_groups()
    with tempfile.TemporaryDirectory() as folder:
        log = EventLog(f"sqlite:///{Path(folder, 'events.db')}")
        log.start(lambda recorded, batch: None)
        started = time.perf_counter()
        for group in groups:
            log.commit(Unit(group))
        elapsed = time.perf_counter() - started
        log.close()
    return _GROUP * _GROUPS / elapsed


def _bare_per_s() -> float:
    groups = event_groups()
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "events.db")
        EventLog(f"sqlite:///{path}").close()  # the same schema
        conn = sqlite3.connect(path, isolation_level=None)
        conn.execute("PRAGMA journal_mode = WAL")
        conn.execute("PRAGMA synchronous = FULL")
        conn.execute("PRAGMA cache_size = -65536")
        started = time.perf_counter()
        sequence = 0
        for group in groups:
            rows = []
            for e in group:
                sequence += 1
                rows.append((sequence, e.id, e.source, e.type, e.subject, to_microseconds(e.time),
                             0, e.correlationid, None, None, None, 0, e.data_json))  # fmt: skip
            conn.execute("BEGIN IMMEDIATE")
            conn.executemany(f"INSERT INTO events VALUES ({','.join('?' * 13)})", rows)
            conn.execute("COMMIT")
        elapsed = time.perf_counter() - started
        conn.close()
    return _GROUP * _GROUPS / elapsed


def figures(rounds: int) -> list[Figure]:
    """The budget: at least 70 % of bare sqlite3."""
    bare = median_of(_bare_per_s, rounds)
    ours = median_of(_ours_per_s, rounds)
    return [
        Figure(
            "record only, 1,000 a commit, FULL", f"{ours:,.0f}/s", f"bare sqlite3: {bare:,.0f}/s",
            f"{ours / bare:.0%}", "≥ 70 %", ours / bare >= 0.7,
        )
    ]  # fmt: skip
