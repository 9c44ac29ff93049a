"""What must be so after a storm: the server answers, the log is whole and has what it said."""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping
from pathlib import Path

from eventbus.log.integrity import IntegrityCheck
from tests.helpers.api import Api
from tests.helpers.server import ServerProcess
from tests.helpers.waiting import wait_until


def faults_of(server: ServerProcess, acknowledged: Mapping[tuple[str, int], int]) -> list[str]:
    """What is wrong after it; stops the server to look at its database."""
    found = []
    try:
        found += _of_the_running(server.new_api())
    except (AssertionError, OSError) as error:
        found.append(f"the server does not answer any more: {error}")
    found += faults_of_output(server)
    server.stop()
    report = IntegrityCheck(server.database, "full").run()
    assert report is not None, "nobody interrupts it"
    found += [*report.problems, *report.findings]
    return found + _of_the_log(server.database, acknowledged)


def faults_of_output(server: ServerProcess) -> list[str]:
    """Whether anything went wrong by its own word."""
    before, found, after = server.output().partition("Traceback (most recent call last)")
    if not found:
        return []
    return [f"the server's log has a traceback:\n{before[-1000:]}{found}{after[:6000]}"]


def _of_the_running(api: Api) -> list[str]:
    ready = api.get("/readyz")
    receipt = api.publish("fuzz.over")
    assert api.get(f"/api/events/{receipt['id']}").status == 200
    counts = "/api/deliveries/counts"
    wait_until(lambda: api.get(counts).json["counts"].get("running", 0) == 0, "nothing runs", 30.0)
    return [] if ready.status == 200 else [f"it is not ready: {ready.text}"]


def _of_the_log(database: Path, acknowledged: Mapping[tuple[str, int], int]) -> list[str]:
    found = [f"{key} was told to be new {n} times" for key, n in acknowledged.items() if n > 1]
    with sqlite3.connect(database) as connection:
        for (id, sequence), _ in acknowledged.items():
            rows = connection.execute(
                "SELECT count(*) FROM events WHERE id = ? AND sequence = ?", (id, sequence)
            ).fetchone()
            if rows != (1,):
                found.append(f"event {id!r} with sequence {sequence} is in the log {rows[0]} times")
        twice = connection.execute(
            "SELECT id, source FROM events GROUP BY id, source HAVING count(*) > 1"
        ).fetchall()
    return found + [f"{key} is in the log more than once" for key in twice]
