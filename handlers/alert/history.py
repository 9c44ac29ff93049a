"""The recent past of every alert: occurrences, how many in which ten minutes, and its changes.

Of each alert a fixed number of the newest rows is kept, by sequence or by time. Which these are
does not depend on the order in which they came, so a rebuild gives exactly the same.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from sqlalchemy import (
    BigInteger,
    Column,
    Connection,
    Delete,
    Table,
    Text,
    bindparam,
    delete,
    select,
)

from handlers.alert.changes import ChangeKind
from handlers.alert.lifecycle import Decision, Fact, Occurrence, Severity, State
from handlers.tables import Record, RowWriter, metadata, rows_for

BUCKET_S = 600
BUCKETS_KEPT = 300  # ten minutes each: two days of an alert that never rests
OCCURRENCES_KEPT = 200
CHANGES_KEPT = 200
_BUCKET_US = BUCKET_S * 1_000_000


class ChangeRow(NamedTuple):
    """One change: a row of its table. ``until`` ends a mute, in microseconds since the epoch."""

    alert_id: str
    sequence: int
    time: int
    change: ChangeKind
    severity: Severity
    state: State
    by: str | None
    until: int | None


buckets = Table(
    "alert_buckets",
    metadata,
    Column("alert_id", Text, primary_key=True),
    Column("bucket", BigInteger, primary_key=True),
    Column("occurrences", BigInteger, nullable=False),
    sqlite_with_rowid=False,
)

occurrences = Table(
    "alert_occurrences",
    metadata,
    Column("alert_id", Text, primary_key=True),
    Column("sequence", BigInteger, primary_key=True),
    Column("time", BigInteger, nullable=False),
    Column("severity", Text, nullable=False),
    Column("eval_id", Text),
    sqlite_with_rowid=False,
)

changes = Table(
    "alert_changes",
    metadata,
    Column("alert_id", Text, primary_key=True),
    Column("sequence", BigInteger, primary_key=True),
    Column("time", BigInteger, nullable=False),
    Column("change", Text, nullable=False),
    Column("severity", Text, nullable=False),
    Column("state", Text, nullable=False),
    Column("by", Text),
    Column("until", BigInteger),
    sqlite_with_rowid=False,
)


def _trim(table: Table, position: str, most: int) -> Delete:
    """Remove all but the ``most`` rows of an alert with the highest ``position``; primary key."""
    column = table.c[position]
    newest_too_many = (
        select(column)
        .where(table.c.alert_id == bindparam("b_alert"))
        .order_by(column.desc())
        .offset(most)
        .limit(1)
        .scalar_subquery()
    )
    return delete(table).where(table.c.alert_id == bindparam("b_alert"), column <= newest_too_many)


# By alert or by bucket: for a list of pairs (alert, bucket), SQLite would read the whole table.
_buckets_of_alert = select(buckets).where(  # primary key
    buckets.c.alert_id == bindparam("alert"),
    buckets.c.bucket.in_(bindparam("keys", expanding=True)),
)
_alerts_of_bucket = select(buckets).where(  # primary key
    buckets.c.alert_id.in_(bindparam("keys", expanding=True)),
    buckets.c.bucket == bindparam("bucket"),
)
_trim_buckets = _trim(buckets, "bucket", BUCKETS_KEPT)
_trim_occurrences = _trim(occurrences, "sequence", OCCURRENCES_KEPT)
_trim_changes = _trim(changes, "sequence", CHANGES_KEPT)
_bucket_writer = RowWriter(buckets, ["alert_id", "bucket"])
_occurrence_writer = RowWriter(occurrences, ["alert_id", "sequence"])
_change_writer = RowWriter(changes, ["alert_id", "sequence"])


def bucket_of(time: int) -> int:
    """The number of the ten minutes that ``time`` (microseconds since the epoch) is in."""
    return time // _BUCKET_US


def save(
    conn: Connection,
    facts: Sequence[Fact],
    changed: Sequence[ChangeRow],
    totals: Mapping[str, int],
) -> None:
    """Write what one transaction's facts add.

    ``totals`` are the occurrences of each alert, after them: only one that has more than are kept
    can have anything to trim.
    """
    by_alert: defaultdict[str, list[Occurrence]] = defaultdict(list)
    for fact in facts:
        if not isinstance(fact, Decision):
            by_alert[fact.alert_id].append(fact)
    _save_occurrences(conn, by_alert, totals)
    _save_buckets(conn, by_alert, totals)
    _change_writer.save(conn, changed, ())
    # An alert is raised once, as its first change.
    _run(conn, _trim_changes, {row.alert_id for row in changed if row.change != "raised"})


def _save_occurrences(
    conn: Connection, by_alert: dict[str, list[Occurrence]], totals: Mapping[str, int]
) -> None:
    new = [
        (fact.alert_id, fact.sequence, fact.time, fact.severity, fact.eval_id)
        for found in by_alert.values()
        for fact in sorted(found, key=lambda fact: fact.sequence)[-OCCURRENCES_KEPT:]
    ]
    _occurrence_writer.save(conn, new, ())
    _run(conn, _trim_occurrences, (id for id in by_alert if totals[id] > OCCURRENCES_KEPT))


def _save_buckets(
    conn: Connection, by_alert: dict[str, list[Occurrence]], totals: Mapping[str, int]
) -> None:
    counts = Counter(
        (fact.alert_id, bucket_of(fact.time)) for found in by_alert.values() for fact in found
    )
    known = _known_buckets(conn, counts)
    new: list[Record] = []
    changed: list[Record] = []
    for key, count in counts.items():
        (changed if key in known else new).append((*key, count + known.get(key, 0)))
    _bucket_writer.save(conn, new, changed)
    begun = {record[0] for record in new}
    _run(conn, _trim_buckets, (id for id in begun if totals[id] > BUCKETS_KEPT))


def _known_buckets(conn: Connection, keys: Iterable[tuple[str, int]]) -> dict[tuple[str, int], int]:
    """What is counted already; mostly all are of the present ten minutes: one query."""
    by_alert: defaultdict[str, list[int]] = defaultdict(list)
    by_bucket: defaultdict[int, list[str]] = defaultdict(list)
    for alert_id, bucket in keys:
        by_alert[alert_id].append(bucket)
        by_bucket[bucket].append(alert_id)
    rows: list[Any] = []
    if len(by_bucket) <= len(by_alert):
        for bucket, alert_ids in by_bucket.items():
            rows += rows_for(conn, _alerts_of_bucket, alert_ids, bucket=bucket)
    else:
        for alert_id, its_buckets in by_alert.items():
            rows += rows_for(conn, _buckets_of_alert, its_buckets, alert=alert_id)
    return {(row.alert_id, row.bucket): row.occurrences for row in rows}


def _run(conn: Connection, trim: Delete, alert_ids: Iterable[str]) -> None:
    if given := [{"b_alert": alert_id} for alert_id in sorted(alert_ids)]:
        conn.execute(trim, given)


def counts_between(
    conn: Connection, alert_ids: Sequence[str], first: int, last: int
) -> dict[str, dict[int, int]]:
    """Occurrences by alert and bucket, from bucket ``first`` to ``last``, both with it."""
    query = select(buckets).where(  # primary key, a range for each alert
        buckets.c.alert_id.in_(bindparam("keys", expanding=True)),
        buckets.c.bucket.between(bindparam("first"), bindparam("last")),
    )
    found: defaultdict[str, dict[int, int]] = defaultdict(dict)
    for row in rows_for(conn, query, alert_ids, first=first, last=last):
        found[row.alert_id][row.bucket] = row.occurrences
    return found


def newest_occurrences(conn: Connection, alert_id: str, limit: int) -> Sequence[Any]:
    """The newest rows of one alert's occurrences, newest first."""
    query = (  # primary key
        select(occurrences)
        .where(occurrences.c.alert_id == alert_id)
        .order_by(occurrences.c.sequence.desc())
        .limit(limit)
    )
    return conn.execute(query).all()


def newest_changes(conn: Connection, alert_id: str, limit: int) -> list[ChangeRow]:
    """The newest changes of one alert, newest first."""
    query = (  # primary key
        select(changes)
        .where(changes.c.alert_id == alert_id)
        .order_by(changes.c.sequence.desc())
        .limit(limit)
    )
    return [ChangeRow._make(row) for row in conn.execute(query)]
