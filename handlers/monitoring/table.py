"""The tables of metrics and their recent samples, and how many samples are written at once."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    ColumnElement,
    Connection,
    Float,
    FromClause,
    Table,
    Text,
    bindparam,
    delete,
    func,
    select,
)

from eventbus.log import EventLog
from eventbus.log.compare import IS_KEPT
from handlers.committed import CommittedRows
from handlers.errors import StaleStateError
from handlers.monitoring.samples import MetricRow, Sample, advance
from handlers.tables import Record, RowWriter, metadata, rows_for

HISTORY_KEPT = 1_000
_TRIM_EVERY = 250  # samples of a metric between two looks at what is too old

metrics = Table(
    "metrics",
    metadata,
    Column("name", Text, primary_key=True),
    Column("kind", Text, nullable=False),
    Column("base", Float(53), nullable=False),
    Column("base_sequence", BigInteger, nullable=False),
    Column("added", Float(53), nullable=False),
    Column("unit", Text),
    Column("samples", BigInteger, nullable=False),
    Column("updated_at", BigInteger, nullable=False),
    Column("last_sequence", BigInteger, nullable=False),
    Column("crossed", Text),
    sqlite_with_rowid=False,
)

history = Table(
    "metric_samples",
    metadata,
    Column("metric", Text, primary_key=True),
    Column("sequence", BigInteger, primary_key=True),
    Column("time", BigInteger, nullable=False),
    Column("amount", Float(53), nullable=False),
    Column("is_increment", Boolean, nullable=False),
    Column("value", Float(53), nullable=False),  # the metric's, after this sample
    sqlite_with_rowid=False,
)


def _is_kept(side: FromClause) -> ColumnElement[bool]:
    """A history is cut now and then; what is beyond its length counts for nothing."""
    other = side.alias()
    oldest = (
        select(other.c.sequence)
        .where(other.c.metric == side.c.metric)
        .order_by(other.c.sequence.desc())
        .offset(HISTORY_KEPT - 1)
        .limit(1)
        .scalar_subquery()
    )
    return side.c.sequence >= func.coalesce(oldest, 0)


history.info[IS_KEPT] = _is_kept

_by_names = select(metrics).where(  # primary key
    metrics.c.name.in_(bindparam("keys", expanding=True))
)
_added_after = select(func.coalesce(func.sum(history.c.amount), 0.0)).where(  # primary key
    history.c.metric == bindparam("metric"),
    history.c.sequence > bindparam("sequence"),
    history.c.is_increment,
)
_oldest_kept = (  # primary key
    select(history.c.sequence)
    .where(history.c.metric == bindparam("b_metric"))
    .order_by(history.c.sequence.desc())
    .offset(HISTORY_KEPT)
    .limit(1)
    .scalar_subquery()
)
_trim = delete(history).where(
    history.c.metric == bindparam("b_metric"), history.c.sequence <= _oldest_kept
)
_metric_writer = RowWriter(metrics, ["name"])
_history_writer = RowWriter(history, ["metric", "sequence"])


def load(conn: Connection, names: Iterable[str]) -> dict[str, MetricRow]:
    """The rows of those metrics that are known, by name."""
    return {row.name: MetricRow._make(row) for row in rows_for(conn, _by_names, names)}


class MetricTable:
    """Writes metrics; ``rows`` are what their handler compares new values with."""

    def __init__(self, log: EventLog) -> None:
        self.rows = CommittedRows(log, load)

    def apply(self, conn: Connection, samples: list[Sample]) -> None:
        """Add samples to their metrics; one transaction's worth of events.

        Raises StaleStateError when a watched metric has changed since its sample was compared.
        """
        by_metric: defaultdict[str, list[Sample]] = defaultdict(list)
        for sample in sorted(samples, key=lambda sample: sample.sequence):
            by_metric[sample.metric].append(sample)
        before = load(conn, by_metric)
        now: dict[str, MetricRow] = {}
        points: list[Record] = []
        for name, its_samples in by_metric.items():
            row = old = before.get(name)
            for sample in its_samples:
                self._check(sample, row)
                row = advance(row, sample, _increments_after(conn, old, sample))
                points.append((
                    name, sample.sequence, sample.time, sample.amount, sample.is_increment,
                    row.value,
                ))  # fmt: skip
                now[name] = row
        _metric_writer.save(
            conn,
            [row for name, row in now.items() if name not in before],
            [row for name, row in now.items() if name in before],
        )
        _history_writer.save(conn, points, [])
        self._trim(conn, before, now)
        self.rows.remember((name, row) for name, row in now.items() if row.crossed is not None)

    def _check(self, sample: Sample, row: MetricRow | None) -> None:
        if sample.base is None:
            return
        base = 0 if row is None else row.last_sequence
        if sample.base != base or sample.version != self.rows.version:
            self.rows.forget(sample.metric)
            raise StaleStateError(
                f"metric {sample.metric!r} has changed since event {sample.sequence} was handled"
            )

    def _trim(
        self, conn: Connection, before: dict[str, MetricRow], now: dict[str, MetricRow]
    ) -> None:
        full = []
        for name, row in now.items():
            samples = before[name].samples if name in before else 0
            if row.samples // _TRIM_EVERY > samples // _TRIM_EVERY:
                full.append({"b_metric": name})
        if full:
            conn.execute(_trim, full)


def _increments_after(conn: Connection, old: MetricRow | None, sample: Sample) -> float:
    """What had been added by later events before this recorded value came; mostly nothing.

    Deliveries overtake each other by far fewer events than the history keeps.
    """
    if old is None or sample.is_increment or sample.sequence > old.last_sequence:
        return 0.0
    where = {"metric": sample.metric, "sequence": sample.sequence}
    return float(conn.execute(_added_after, where).scalar_one())
