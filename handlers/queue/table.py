"""The tables of queues and their tasks, and how changes of many are written at once."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator
from typing import Any

from sqlalchemy import (
    BigInteger,
    Column,
    Connection,
    Index,
    Integer,
    Select,
    Table,
    Text,
    bindparam,
    delete,
    literal_column,
    select,
)

from handlers import counters
from handlers.queue.tasks import (
    FAILED,
    PROCESSED,
    RUNNING,
    UNKNOWN,
    WAITING,
    Task,
    TaskFacts,
    advance,
)
from handlers.tables import Record, RowWriter, metadata, rows_for

BUCKET_S = 10
_BUCKET_US = BUCKET_S * 1_000_000
_BUCKETS_KEPT = 24 * 3600 // BUCKET_S

tasks = Table(
    "queue_tasks",
    metadata,
    Column("queue", Text, primary_key=True),
    Column("task_id", Text, primary_key=True),
    Column("attempt", BigInteger, nullable=False),
    Column("stage", Integer, nullable=False),
    Column("added_at", BigInteger),
    Column("started_at", BigInteger),
    Column("finished_at", BigInteger),
    Column("left_at", BigInteger),
    Column("waited_us", BigInteger),
    Column("eval_id", Text),
    sqlite_with_rowid=False,
)
# Conditions of partial indexes are written out, in queries too: a bound value would hide from the
# database that the index holds all the rows that are asked for.
is_waiting = tasks.c.stage == literal_column(str(WAITING))
# Only what waits: the oldest of a queue is its first entry, however many tasks there were.
ix_queue_tasks_waiting = Index(
    "ix_queue_tasks_waiting",
    tasks.c.queue,
    tasks.c.added_at,
    sqlite_where=is_waiting,
    postgresql_where=is_waiting,
)
ix_queue_tasks_left = Index(
    "ix_queue_tasks_left",
    tasks.c.queue,
    tasks.c.left_at,
    sqlite_where=tasks.c.waited_us.is_not(None),
    postgresql_where=tasks.c.waited_us.is_not(None),
)

queues = Table(
    "queues",
    metadata,
    Column("name", Text, primary_key=True),
    Column("depth", BigInteger, nullable=False),
    Column("running", BigInteger, nullable=False),
    Column("added", BigInteger, nullable=False),
    Column("processed", BigInteger, nullable=False),
    Column("failed", BigInteger, nullable=False),
    sqlite_with_rowid=False,
)

# Processed tasks per queue and ten seconds: throughput without counting tasks.
buckets = Table(
    "queue_throughput",
    metadata,
    Column("queue", Text, primary_key=True),
    Column("bucket", BigInteger, primary_key=True),
    Column("processed", BigInteger, nullable=False),
    sqlite_with_rowid=False,
)

# Queue by queue: for a list of pairs (queue, task_id), SQLite would read the whole table.
_tasks_of_queue = select(tasks).where(  # primary key
    tasks.c.queue == bindparam("queue"), tasks.c.task_id.in_(bindparam("keys", expanding=True))
)
_queues_by_name = select(queues).where(queues.c.name.in_(bindparam("keys", expanding=True)))
_buckets_of_queue = select(buckets).where(  # primary key
    buckets.c.queue == bindparam("queue"), buckets.c.bucket.in_(bindparam("keys", expanding=True))
)
_oldest_kept = (
    select(buckets.c.bucket)
    .where(buckets.c.queue == bindparam("b_queue"))
    .order_by(buckets.c.bucket.desc())
    .offset(_BUCKETS_KEPT)
    .limit(1)
    .scalar_subquery()
)
_trim = delete(buckets).where(
    buckets.c.queue == bindparam("b_queue"), buckets.c.bucket <= _oldest_kept
)
_task_writer = RowWriter(tasks, ["queue", "task_id"])
_queue_writer = RowWriter(queues, ["name"])
_bucket_writer = RowWriter(buckets, ["queue", "bucket"])

_QUEUE_COUNTS = ("depth", "running", "added", "processed", "failed")


def apply(conn: Connection, changes: list[TaskFacts]) -> None:
    """Advance the tasks and with them their queues; one transaction's worth of events."""
    keys = {(facts.queue, facts.task_id) for facts in changes}
    rows = map(Task._make, _known(conn, _tasks_of_queue, keys))
    before = {(task.queue, task.task_id): task for task in rows}
    now = dict(before)
    deltas: defaultdict[str, Counter[str]] = defaultdict(Counter)
    processed: Counter[tuple[str, int]] = Counter()
    for facts in sorted(changes, key=lambda facts: facts.sequence):
        key = (facts.queue, facts.task_id)
        old = now.get(key)
        new = now[key] = advance(old, facts)
        if new is old:
            continue
        difference = step(old, new)
        deltas[facts.queue].update(difference)
        if difference["processed"]:
            processed[(facts.queue, facts.time // _BUCKET_US)] += 1
    inserted = [task for key, task in now.items() if key not in before]
    changed = [task for key, task in now.items() if task is not before.get(key, task)]
    _task_writer.save(conn, inserted, changed)
    _add_to_queues(conn, deltas)
    if processed:
        _add_to_buckets(conn, processed)


def step(old: Task | None, new: Task) -> dict[str, int]:
    """The difference that one task's step makes to its queue."""
    left = UNKNOWN if old is None else old.stage
    is_same = old is not None and old.attempt == new.attempt
    before = left if is_same else UNKNOWN
    was_added = old is not None and is_same and old.added_at is not None
    return {
        "depth": (new.stage == WAITING) - (left == WAITING),
        "running": (new.stage == RUNNING) - (left == RUNNING),
        "added": new.added_at is not None and not was_added,
        "processed": new.stage == PROCESSED and before != PROCESSED,
        "failed": new.stage == FAILED and before != FAILED,
    }


def _add_to_queues(conn: Connection, deltas: dict[str, Counter[str]]) -> None:
    known = {row.name: row for row in rows_for(conn, _queues_by_name, deltas)}
    new: list[Record] = []
    changed: list[Record] = []
    for name, delta in deltas.items():
        row = known.get(name)
        counts = (
            delta[kind] + (0 if row is None else getattr(row, kind)) for kind in _QUEUE_COUNTS
        )
        (new if row is None else changed).append((name, *counts))
    _queue_writer.save(conn, new, changed)
    counters.add(conn, {"queue.depth": sum(delta["depth"] for delta in deltas.values())})


def _known(conn: Connection, query: Select[Any], keys: Iterable[tuple[str, Any]]) -> Iterator[Any]:
    """The rows of ``query`` for pairs of a queue and a key in it."""
    by_queue: defaultdict[str, list[Any]] = defaultdict(list)
    for queue, key in keys:
        by_queue[queue].append(key)
    for queue, its_keys in by_queue.items():
        yield from rows_for(conn, query, its_keys, queue=queue)


def _add_to_buckets(conn: Connection, processed: Counter[tuple[str, int]]) -> None:
    rows = _known(conn, _buckets_of_queue, processed)
    known = {(row.queue, row.bucket): row.processed for row in rows}
    new: list[Record] = []
    changed: list[Record] = []
    for key, count in processed.items():
        (changed if key in known else new).append((*key, count + known.get(key, 0)))
    _bucket_writer.save(conn, new, changed)
    if new:
        conn.execute(_trim, [{"b_queue": queue} for queue in {record[0] for record in new}])
