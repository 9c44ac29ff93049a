"""The read model of metrics: last values and recent history."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import select

from eventbus.log import EventLog
from eventbus.timestamps import from_microseconds
from handlers.monitoring.samples import MetricKind, MetricRow
from handlers.monitoring.table import HISTORY_KEPT, history, load, metrics

_MOST_METRICS = 1_000


@dataclass(frozen=True, slots=True)
class Metric:
    """One metric as it is shown.

    A gauge is what was last recorded, plus what was added since; a counter is only ever added
    to. ``crossed`` are the rules that its value violates now; ``samples`` counts its events.
    """

    name: str
    kind: MetricKind
    value: float
    unit: str | None
    samples: int
    updated_at: datetime
    crossed: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class MetricPoint:
    """The value of a metric after the event with this sequence."""

    at: datetime
    value: float
    sequence: int


class Metrics:
    """Questions about metrics; any thread may ask."""

    def __init__(self, log: EventLog) -> None:
        self._log = log

    def list(self, prefix: str = "", limit: int = _MOST_METRICS) -> Sequence[Metric]:
        """Metrics by name, at most 1000; only those whose name begins with ``prefix``."""
        query = select(metrics).order_by(metrics.c.name)  # primary key
        if prefix:
            # A range, not LIKE, so that the primary key serves it; no text sorts behind U+10FFFF.
            query = query.where(metrics.c.name.between(prefix, prefix + "\U0010ffff"))
        with self._log.reading() as conn:
            rows = conn.execute(query.limit(min(limit, _MOST_METRICS))).all()
        return [_shown(MetricRow._make(row)) for row in rows]

    def get(self, name: str) -> Metric | None:
        """One metric, None when it was never recorded."""
        with self._log.reading() as conn:
            row = load(conn, [name]).get(name)
        return None if row is None else _shown(row)

    def history(self, name: str, limit: int = 100) -> Sequence[MetricPoint]:
        """The last values of a metric, the oldest first, at most 1000."""
        query = (  # primary key
            select(history.c.time, history.c.value, history.c.sequence)
            .where(history.c.metric == name)
            .order_by(history.c.sequence.desc())
            .limit(max(1, min(limit, HISTORY_KEPT)))
        )
        with self._log.reading() as conn:
            rows = conn.execute(query).all()
        return [MetricPoint(from_microseconds(r.time), r.value, r.sequence) for r in reversed(rows)]


def _shown(row: MetricRow) -> Metric:
    return Metric(
        name=row.name,
        kind=row.kind,
        value=row.value,
        unit=row.unit,
        samples=row.samples,
        updated_at=from_microseconds(row.updated_at),
        crossed=tuple((row.crossed or "").splitlines()),
    )
