"""Recording alone: units into the log against the bare sqlite3 driver, same schema and groups."""

from __future__ import annotations

import sqlite3
import tempfile
import time
from functools import partial
from pathlib import Path

from bench.options import Options
from bench.report import Figure, interleaved
from eventbus.event import Event
from eventbus.log import EventLog
from eventbus.log.unit import Unit
from eventbus.timestamps import to_microseconds

_GROUP = 1_000
_GROUPS = 60
_COLUMNS = "sequence, id, source, type, subject, time_us, recorded_us, correlationid, depth, data"


def event_groups(groups: int = _GROUPS) -> list[list[Event]]:
    """Events to record, a thousand in each group."""
    return [
        [Event.create("evaluation.progress", {"eval_id": f"eval-{g}-{i}", "done": i, "total": 100})
         for i in range(_GROUP)]
        for g in range(groups)
    ]  # fmt: skip


def _ours_per_s() -> float:
    with tempfile.TemporaryDirectory() as folder:
        return recorded_per_s(f"sqlite:///{Path(folder, 'events.db')}", event_groups())


def recorded_per_s(url: str, groups: list[list[Event]]) -> float:
    """Events a second that a log at ``url`` records, a group a commit."""
    log = EventLog(url)
    log.start(lambda recorded, batch: None)
    started = time.perf_counter()
    for group in groups:
        log.commit(Unit(group))
    elapsed = time.perf_counter() - started
    log.close()
    return sum(map(len, groups)) / elapsed


def _bare_per_s(are_rows_ready: bool) -> float:
    """What a program by hand reaches; with ``are_rows_ready`` its rows are made beforehand."""
    groups = event_groups()
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "events.db")
        EventLog(f"sqlite:///{path}").close()  # the same schema
        conn = sqlite3.connect(path, isolation_level=None)
        conn.execute("PRAGMA journal_mode = WAL")
        conn.execute("PRAGMA synchronous = FULL")
        conn.execute("PRAGMA cache_size = -65536")
        insert = f"INSERT INTO events ({_COLUMNS}) VALUES ({','.join('?' * 10)})"
        ready = [_rows(number, group) for number, group in enumerate(groups)]
        started = time.perf_counter()
        for number, group in enumerate(groups):
            rows = ready[number] if are_rows_ready else _rows(number, group)
            conn.execute("BEGIN IMMEDIATE")
            conn.executemany(insert, rows)
            conn.execute("COMMIT")
        elapsed = time.perf_counter() - started
        conn.close()
    return _GROUP * _GROUPS / elapsed


def _rows(number: int, group: list[Event]) -> list[tuple[object, ...]]:
    return [
        (number * _GROUP + index + 1, e.id, e.source, e.type, e.subject, to_microseconds(e.time), 0,
         e.correlationid, 0, e.data_json)
        for index, e in enumerate(group)
    ]  # fmt: skip


def figures(options: Options) -> list[Figure]:
    """The budget: at least 70 % of bare sqlite3."""
    found = interleaved(
        {
            "ours": _ours_per_s,
            "bare": partial(_bare_per_s, False),
            "ready": partial(_bare_per_s, True),
        },
        options.rounds,
    )
    ours, bare, ready = found["ours"], found["bare"], found["ready"]
    ratio = ours.median / bare.median
    return [
        Figure(
            "record only, 1,000 events a commit", ours.shown("/s"),
            f"bare sqlite3 executemany, same schema and commits: {bare.shown('/s')}",
            f"{ratio:.0%}", "≥ 70 %", ratio >= 0.7,
        ),
        Figure(
            "the same against rows that were made beforehand", ours.shown("/s"),
            f"bare sqlite3 executemany: {ready.shown('/s')}", f"{ours.median / ready.median:.0%}",
        ),
    ]  # fmt: skip
