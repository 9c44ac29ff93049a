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


def fill(folder: str, count: int, at_once: int = 1) -> None:
    """Make ``events.db`` in ``folder`` with about ``count`` events and our subscriptions.

    ``at_once`` evaluations run at the same time, so that their events are mixed.
    """
    evaluations = max(1, count // len(_STORY))
    with EventBus.open(f"sqlite:///{Path(folder, 'events.db')}") as bus:
        install(bus)
        filling = _Filling(bus.log, evaluations, at_once)
        chunk = _CHUNK // at_once * at_once
        for first in range(0, evaluations, chunk):
            bus.log.commit(Unit(call=filling.chunk(first, min(first + chunk, evaluations))))


class _Filling:
    """Rows of one log; ``chunk`` gives the function that inserts some evaluations."""

    def __init__(self, log: EventLog, evaluations: int, at_once: int) -> None:
        self._evaluations = evaluations
        self._at_once = at_once
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
            for start in range(first, end, self._at_once):
                group = range(start, min(start + self._at_once, end))
                for index in range(len(_STORY)):
                    for number in group:
                        self._add(number, index, group, events, deliveries)
            _INSERT_EVENT.run(conn, events)
            _INSERT_DELIVERY.run(conn, deliveries)

        return insert_rows

    def _add(
        self,
        number: int,
        index: int,
        group: range,
        events: list[tuple[object, ...]],
        deliveries: list[tuple[object, ...]],
    ) -> None:
        digest = hashlib.blake2b(number.to_bytes(8), digest_size=16).hexdigest()
        eval_id = f"eval-{digest[:10]}"  # in no order, as ids of evaluations are
        is_rare = number % RARE_EVERY == 0 and number < self._evaluations * 0.9
        type, cause, data = _STORY[index]

        def id_of(index: int) -> str:
            return _uuid7_like(time_us(index), digest, index)

        def position(index: int) -> int:
            return group.start * len(_STORY) + index * len(group) + number - group.start

        def time_us(index: int) -> int:
            return self._begin_us + position(index) * _APART_US

        if is_rare:
            data = data.replace("NOTE", RARE)
        sequence, at_us = self._first_sequence + position(index), time_us(index)
        caused_by = None if cause is None else id_of(cause)
        events.append((
            sequence, id_of(index), "/bench", type, eval_id, at_us, at_us,
            caused_by or id_of(index), caused_by, 0 if cause is None else 1, data % eval_id,
        ))  # fmt: skip
        for subscription in self._subscribers[index]:
            deliveries.append((sequence, subscription, "succeeded", 1, at_us + 900, 800))


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
