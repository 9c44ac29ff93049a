"""A log with millions of events, made by bulk inserts through the log's own writer.

    python -m bench.filling /tmp/large 5000000

Events, ids and deliveries are as if evaluations had run for days, every event handled. The read
models stay empty: what is measured on it is the log.
"""

from __future__ import annotations

import hashlib
import sys
import time
from collections.abc import Callable
from pathlib import Path

from sqlalchemy import Connection

from eventbus import EventBus
from eventbus.log import EventLog, schema
from eventbus.log.prepared import insert_rows
from eventbus.log.unit import Unit
from handlers import install

_CHUNK = 4_000  # evaluations in a transaction
_APART_US = 100_000  # between two events: ten a second
RARE = "zanzibar"
RARE_EVERY = 1_000
"""One evaluation in so many has this word in its result, and none of the newest tenth."""

_RUN = '"task":"mmlu","model":"openai/gpt-5","samples":100'
# What an evaluation leaves in the log: type, index of the event that caused it, payload.
_STORY: tuple[tuple[str, int | None, str], ...] = (
    ("evaluation.started", None, '{"eval_id":"%s",' + _RUN + "}"),
    ("metrics.evaluation.started", 0, '{"eval_id":"%s","timestamp":"2026-11-01T00:00:00Z"}'),
    ("evaluation.progress", None, '{"eval_id":"%s","done":40,"total":100}'),
    ("evaluation.progress", None, '{"eval_id":"%s","done":80,"total":100}'),
    ("evaluation.completed", None, '{"eval_id":"%s","result":{"accuracy":0.82,"note":"NOTE"}}'),
    ("cleanup.evaluation", 4, '{"eval_id":"%s"}'),
)
_INSERT_EVENT = insert_rows(
    schema.events, "sequence", "id", "source", "type", "subject", "time_us", "recorded_us",
    "correlationid", "causationid", "depth", "data",
)  # fmt: skip
_INSERT_DELIVERY = insert_rows(
    schema.deliveries, "sequence", "subscription", "state", "attempt", "finished_us",
    "duration_us",
)  # fmt: skip


def fill(folder: str, count: int) -> None:
    """Make ``events.db`` in ``folder`` with about ``count`` events and our subscriptions."""
    evaluations = max(1, count // len(_STORY))
    with EventBus.open(f"sqlite:///{Path(folder, 'events.db')}") as bus:
        install(bus)
        filling = _Filling(bus.log, evaluations)
        for first in range(0, evaluations, _CHUNK):
            bus.log.commit(Unit(call=filling.chunk(first, min(first + _CHUNK, evaluations))))


class _Filling:
    """Rows of one log; ``chunk`` gives the function that inserts some evaluations."""

    def __init__(self, log: EventLog, evaluations: int) -> None:
        self._evaluations = evaluations
        self._begin_us = time.time_ns() // 1_000 - evaluations * len(_STORY) * _APART_US
        self._first_sequence = log.last_sequence + 1
        stored = log.subscribers()
        self._subscribers = [
            [one.id for one in stored if one.pattern.matches(type)] for type, _, _ in _STORY
        ]

    def chunk(self, first: int, end: int) -> Callable[[Connection], None]:
        def insert_rows(conn: Connection) -> None:
            events: list[tuple[object, ...]] = []
            deliveries: list[tuple[object, ...]] = []
            for number in range(first, end):
                self._add(number, events, deliveries)
            _INSERT_EVENT.run(conn, events)
            _INSERT_DELIVERY.run(conn, deliveries)

        return insert_rows

    def _add(
        self, number: int, events: list[tuple[object, ...]], deliveries: list[tuple[object, ...]]
    ) -> None:
        digest = hashlib.blake2b(number.to_bytes(8), digest_size=16).hexdigest()
        eval_id = f"eval-{digest[:10]}"  # in no order, as ids of evaluations are
        is_rare = number % RARE_EVERY == 0 and number < self._evaluations * 0.9
        ids: list[str] = []
        roots: list[str] = []
        for index, (type, cause, data) in enumerate(_STORY):
            position = number * len(_STORY) + index
            sequence = self._first_sequence + position
            time_us = self._begin_us + position * _APART_US
            ids.append(_uuid7_like(time_us, digest, index))
            roots.append(ids[index] if cause is None else roots[cause])
            if is_rare:
                data = data.replace("NOTE", RARE)
            events.append((
                sequence, ids[index], "/bench", type, eval_id, time_us, time_us, roots[index],
                None if cause is None else ids[cause], 0 if cause is None else 1, data % eval_id,
            ))  # fmt: skip
            for subscription in self._subscribers[index]:
                deliveries.append((sequence, subscription, "succeeded", 1, time_us + 900, 800))


def _uuid7_like(time_us: int, digest: str, index: int) -> str:
    milliseconds, rest = divmod(time_us, 1_000)
    head = f"{milliseconds:012x}"
    return f"{head[:8]}-{head[8:]}-7{rest:03x}-8{digest[:3]}-{digest[3:14]}{index:x}"


def main() -> None:
    if len(sys.argv) != 3:
        sys.exit("usage: python -m bench.filling FOLDER EVENTS")
    folder, count = sys.argv[1], int(sys.argv[2])
    Path(folder).mkdir(parents=True, exist_ok=True)
    started = time.perf_counter()
    fill(folder, count)
    took_s = time.perf_counter() - started
    print(f"{count:,} events in {took_s:.1f} s: {count / took_s:,.0f}/s")


if __name__ == "__main__":
    main()
