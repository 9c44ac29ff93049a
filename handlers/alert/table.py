"""The table of alerts, and how changes of many are written at once."""

from __future__ import annotations

import logging
from collections.abc import Iterable
from dataclasses import dataclass

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Connection,
    Index,
    Integer,
    Table,
    Text,
    bindparam,
    select,
)

from eventbus.log import EventLog
from eventbus.log.schema import ROW_NUMBER
from handlers import counters
from handlers.alert import history
from handlers.alert.changes import ChangeKind, change_of
from handlers.alert.lifecycle import AlertRow, Decision, Fact, advance
from handlers.committed import CommittedRows
from handlers.errors import StaleStateError
from handlers.tables import Record, RowWriter, metadata, rows_for

logger = logging.getLogger("eventbus.handlers")

_MOST_REMEMBERED_CHARS = 2_000

alerts = Table(
    "alerts",
    metadata,
    Column("first_sequence", ROW_NUMBER, primary_key=True, autoincrement=False),
    Column("id", Text, nullable=False, unique=True),
    Column("fingerprint", Text, nullable=False),
    Column("service", Text, nullable=False),
    Column("error_type", Text, nullable=False),
    Column("severity", Text, nullable=False),
    Column("rank", Integer, nullable=False),
    Column("state", Text, nullable=False),
    Column("is_open", Boolean, nullable=False),
    Column("error", Text, nullable=False),
    Column("eval_id", Text),
    Column("occurrences", BigInteger, nullable=False),
    Column("first_seen", BigInteger, nullable=False),
    Column("last_seen", BigInteger, nullable=False),
    Column("last_sequence", BigInteger, nullable=False),
    Column("muted_until", BigInteger),
    Column("state_before_mute", Text),
    Column("occurrences_at_mute", BigInteger, nullable=False),
    Column("by", Text),
)
ix_alerts_last = Index("ix_alerts_last", alerts.c.last_sequence)
ix_alerts_state = Index("ix_alerts_state", alerts.c.state, alerts.c.last_sequence)
ix_alerts_open = Index("ix_alerts_open", alerts.c.is_open, alerts.c.rank, alerts.c.last_sequence)
# Of the open ones alone, in the order of the page, with what tells the quiet ones.
ix_alerts_quiet = Index(
    "ix_alerts_quiet",
    alerts.c.last_sequence,
    alerts.c.last_seen,
    sqlite_where=alerts.c.is_open,
    postgresql_where=alerts.c.is_open,
)
ix_alerts_severity = Index("ix_alerts_severity", alerts.c.severity, alerts.c.last_sequence)
ix_alerts_severity_state = Index(
    "ix_alerts_severity_state", alerts.c.severity, alerts.c.state, alerts.c.last_sequence
)

_by_ids = select(alerts).where(  # unique index on id
    alerts.c.id.in_(bindparam("keys", expanding=True))
)
_writer = RowWriter(alerts, ["first_sequence"])


@dataclass(frozen=True, slots=True)
class Step:
    """What one event does to its alert.

    ``base`` is the ``last_sequence`` of the row (0 for no row) that an announcement rests on, on
    rows of this ``version``; None when nothing was announced or withheld on it.
    """

    fact: Fact
    base: int | None = None
    version: int = 0


def load(conn: Connection, alert_ids: Iterable[str]) -> dict[str, AlertRow]:
    """The rows of those alerts that are known, by id."""
    return {row.id: AlertRow._make(row) for row in rows_for(conn, _by_ids, alert_ids)}


class AlertTable:
    """Writes alerts; ``rows`` are what their handler announces changes on."""

    def __init__(self, log: EventLog) -> None:
        self.rows = CommittedRows(log, load)

    def apply(self, conn: Connection, steps: list[Step]) -> None:
        """Advance the alerts, their history and the counter of open ones; a transaction's events.

        Raises StaleStateError when an announcement rests on a state that is not the committed one.
        """
        before = load(conn, {step.fact.alert_id for step in steps})
        now = dict(before)
        changes: list[history.ChangeRow] = []
        for step in sorted(steps, key=lambda step: step.fact.sequence):
            fact = step.fact
            old = now.get(fact.alert_id)
            self._check(step, old)
            row = advance(old, fact)
            if row is None:
                logger.warning(
                    "event %d is about an unknown alert %r", fact.sequence, fact.alert_id
                )
                continue
            now[fact.alert_id] = row
            if (kind := change_of(old, row, fact)) is not None:
                changes.append(_change_row(fact, row, kind))
        new: list[Record] = []
        changed: list[Record] = []
        opened = 0
        for alert_id, row in now.items():
            old = before.get(alert_id)
            if row is not old:
                (new if old is None else changed).append(row)
                opened += row.is_open - (old is not None and old.is_open)
        _writer.save(conn, new, changed)
        totals = {alert_id: row.occurrences for alert_id, row in now.items()}
        history.save(conn, [step.fact for step in steps], changes, totals)
        counters.add(conn, {"alert.open": opened})
        if any(step.base is not None for step in steps):
            self._remember(now)

    def _check(self, step: Step, row: AlertRow | None) -> None:
        base = 0 if row is None else row.last_sequence
        if step.base is None or (step.base == base and step.version == self.rows.version):
            return
        self.rows.forget(step.fact.alert_id)
        raise StaleStateError(
            f"alert {step.fact.alert_id!r} has changed since event {step.fact.sequence} was handled"
        )

    def _remember(self, now: dict[str, AlertRow]) -> None:
        small = []
        for alert_id, row in now.items():
            if len(row.error) <= _MOST_REMEMBERED_CHARS:
                small.append((alert_id, row))
            else:
                self.rows.forget(alert_id)
        self.rows.remember(small)


def _change_row(fact: Fact, row: AlertRow, kind: ChangeKind) -> history.ChangeRow:
    by = fact.by if isinstance(fact, Decision) else None
    return history.ChangeRow(
        fact.alert_id, fact.sequence, fact.time, kind, row.severity, row.state, by, row.muted_until
    )
