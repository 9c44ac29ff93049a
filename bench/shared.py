"""The pipeline of several processes on one log, beside Celery and FastStream on the same servers.

    python -m bench.shared --events 4000 --rounds 3

needs `make services` and the peers of bench/requirements.txt. The job is the same for all: each
event is published by one of P processes, with the publisher waiting until it is safe, and its
handler inserts one row into the same PostgreSQL. Ours has the event in PostgreSQL before it is
acknowledged; the peers have it in RabbitMQ, durable and confirmed, and take it off after the row.

``eventbus`` is one subscription, which one of the processes serves; ``eventbus-shared`` is the same
events as eight types with a subscription each, which the processes share out.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

import psycopg

from bench.machine import described_in_one_line
from tests.services import ROOT, Postgresql, RabbitMq

_THREADS = 16
_PEERS = ("eventbus", "eventbus-shared", "celery", "faststream")
# Within which processes that have just come have their shares of the subscriptions.
_SHARED_S = 3.0
_TIMEOUT_S = 120.0


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench.shared", description=__doc__)
    parser.add_argument("--events", type=int, default=4_000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--processes", type=int, nargs="+", default=[1, 2, 4])
    parser.add_argument("--peers", nargs="+", default=_PEERS, choices=_PEERS)
    asked = parser.parse_args()
    database, broker = Postgresql(ROOT / "postgresql"), RabbitMq(ROOT / "rabbitmq")
    for server in (database, broker):
        if not server.is_running:
            parser.error(f"{server.name} does not run; `make services` starts it")
    print(described_in_one_line())
    print(f"{'':16} {'processes':>9} {'published/s':>12} {'handled/s':>10} {'p50':>9} {'p99':>9}")
    found: dict[tuple[str, int], list[tuple[float, ...]]] = {}
    for _ in range(asked.rounds):  # in turn, so that what disturbs the machine disturbs all
        for count in asked.processes:
            for peer in asked.peers:
                row = _round(peer, count, asked.events, database, broker)
                found.setdefault((peer, count), []).append(row)
    for (peer, count), rows in sorted(found.items()):
        published, handled, p50, p99 = map(statistics.median, zip(*rows, strict=True))
        print(
            f"{peer:16} {count:9} {published:12,.0f} {handled:10,.0f} {p50:6.1f} ms {p99:6.1f} ms",
            flush=True,
        )


def _round(
    peer: str, processes: int, events: int, database: Postgresql, broker: RabbitMq
) -> tuple[float, float, float, float]:
    """Published and handled events a second, and from publish to the row's commit, in ms."""
    with (
        database.schema("bench") as schema,
        psycopg.connect(database.url, autocommit=True) as conn,
        tempfile.TemporaryDirectory() as folder,
        ExitStack() as stack,
    ):
        conn.execute(f"CREATE TABLE {schema}.done (sent_us BIGINT, done_us BIGINT DEFAULT "
                     "(extract(epoch FROM clock_timestamp()) * 1000000)::bigint)")  # fmt: skip
        members = [
            stack.enter_context(_Member(peer, database.url_in(schema), broker.url, folder, schema))
            for _ in range(processes)
        ]
        if peer == "eventbus-shared":
            time.sleep(_SHARED_S)
        began = time.monotonic()
        for member in members:
            member.tell(f"{events // processes} {_THREADS}")
        for member in members:
            member.hear()
        published_s = time.monotonic() - began
        wanted = events // processes * processes
        _until(lambda: _count(conn, schema) >= wanted)
        handled_s = time.monotonic() - began
        times = sorted(
            row[0] / 1_000
            for row in conn.execute(f"SELECT done_us - sent_us FROM {schema}.done").fetchall()
        )
        assert len(times) == wanted, f"{len(times)} rows for {wanted} events"
    return (
        wanted / published_s, wanted / handled_s, times[len(times) // 2],
        times[int(len(times) * 0.99)],
    )  # fmt: skip


def _count(conn: psycopg.Connection[tuple[int]], schema: str) -> int:
    row = conn.execute(f"SELECT count(*) FROM {schema}.done").fetchone()  # type: ignore[arg-type]
    assert row is not None
    return row[0]


def _until(is_so: Callable[[], bool]) -> None:
    deadline = time.monotonic() + _TIMEOUT_S
    while not is_so():
        if time.monotonic() > deadline:
            raise TimeoutError("not all events were handled")
        time.sleep(0.02)


class _Member:
    """A process of bench/shared_member.py."""

    def __init__(self, *given: str) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "bench.shared_member", *given],
            cwd=Path(__file__).resolve().parents[1], text=True,
            stdin=subprocess.PIPE, stdout=subprocess.PIPE,
        )  # fmt: skip

    def __enter__(self) -> _Member:
        self.hear()
        return self

    def __exit__(self, *raised: object) -> None:
        self._process.terminate()
        try:
            self._process.wait(10)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    def tell(self, command: str) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write(command + "\n")
        self._process.stdin.flush()

    def hear(self) -> object:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            raise RuntimeError("a member has ended")
        return json.loads(line)


if __name__ == "__main__":
    main()
