"""The read model of queues: depth, waiting times, throughput, the oldest task."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import Connection, bindparam, func, select

from eventbus.log import EventLog
from eventbus.timestamps import from_microseconds, to_microseconds
from handlers.percentile import percentile
from handlers.queue.table import BUCKET_S, buckets, is_waiting, queues, tasks

_MOST_QUEUES = 500
_RECENT_WAITS = 500
_WINDOW_S = 60

_all = select(queues).order_by(queues.c.name).limit(_MOST_QUEUES)  # primary key
_oldest = (  # ix_queue_tasks_waiting
    select(tasks.c.task_id, tasks.c.added_at)
    .where(tasks.c.queue == bindparam("queue"), is_waiting)
    .order_by(tasks.c.added_at)
    .limit(1)
)
_waits = (  # ix_queue_tasks_left
    select(tasks.c.waited_us)
    .where(tasks.c.queue == bindparam("queue"), tasks.c.waited_us.is_not(None))
    .order_by(tasks.c.left_at.desc())
    .limit(_RECENT_WAITS)
)
_processed_since = select(func.coalesce(func.sum(buckets.c.processed), 0)).where(  # primary key
    buckets.c.queue == bindparam("queue"), buckets.c.bucket.between(
        bindparam("first"), bindparam("last")
    )
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Queue:
    """One queue as it is shown.

    ``depth`` is the number of tasks that wait, ``running`` of those that have started and not
    ended; ``added``, ``processed`` and ``failed`` count since the beginning. The waiting times
    are of the last 500 tasks that left, in milliseconds, None before the first;
    ``processed_per_min`` counts the last full minute, in steps of ten seconds.
    """

    name: str
    depth: int
    running: int
    added: int
    processed: int
    failed: int
    oldest_task: str | None
    oldest_at: datetime | None
    waiting_p50_ms: float | None
    waiting_p95_ms: float | None
    processed_per_min: int


class Queues:
    """Questions about queues; any thread may ask."""

    def __init__(self, log: EventLog) -> None:
        self._log = log

    def list(self, now: datetime | None = None) -> Sequence[Queue]:
        """The first 500 queues by name; ``now`` (aware) ends the minute of the throughput."""
        now = datetime.now(UTC) if now is None else now
        with self._log.reading() as conn:
            return [_shown(conn, row, now) for row in conn.execute(_all).all()]

    def get(self, name: str, now: datetime | None = None) -> Queue | None:
        """One queue, None when no task named it."""
        now = datetime.now(UTC) if now is None else now
        with self._log.reading() as conn:
            row = conn.execute(select(queues).where(queues.c.name == name)).first()  # primary key
            return None if row is None else _shown(conn, row, now)


def _shown(conn: Connection, row: Any, now: datetime) -> Queue:
    name, depth, running, added, processed, failed = row
    oldest = conn.execute(_oldest, {"queue": name}).first() if depth else None
    waits = [value / 1000 for value in conn.execute(_waits, {"queue": name}).scalars()]
    last = to_microseconds(now) // (BUCKET_S * 1_000_000) - 1  # the present one is not full yet
    window = {"queue": name, "first": last - _WINDOW_S // BUCKET_S + 1, "last": last}
    return Queue(
        name=name,
        depth=depth,
        running=running,
        added=added,
        processed=processed,
        failed=failed,
        oldest_task=None if oldest is None else oldest.task_id,
        oldest_at=None if oldest is None else from_microseconds(oldest.added_at),
        waiting_p50_ms=percentile(waits, 0.50),
        waiting_p95_ms=percentile(waits, 0.95),
        processed_per_min=int(conn.execute(_processed_since, window).scalar_one()),
    )
