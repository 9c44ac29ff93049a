"""The table of alerts, and how changes of many are written at once."""

from __future__ import annotations

import logging

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

from handlers import counters
from handlers.alert import history
from handlers.alert.changes import change_of
from handlers.alert.lifecycle import AlertRow, Decision, Fact, advance
from handlers.tables import Record, RowWriter, metadata, rows_for

logger = logging.getLogger("eventbus.handlers")

alerts = Table(
    "alerts",
    metadata,
    Column("first_sequence", Integer, primary_key=True, autoincrement=False),
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
ix_alerts_severity = Index("ix_alerts_severity", alerts.c.severity, alerts.c.last_sequence)
ix_alerts_severity_state = Index(
    "ix_alerts_severity_state", alerts.c.severity, alerts.c.state, alerts.c.last_sequence
)

_by_ids = select(alerts).where(  # unique index on id
    alerts.c.id.in_(bindparam("keys", expanding=True))
)
_writer = RowWriter(alerts, ["first_sequence"])


def apply(conn: Connection, facts: list[Fact]) -> None:
    """Advance the alerts, their history and the counter of open ones; a transaction's events."""
    ids = {fact.alert_id for fact in facts}
    before = {row.id: AlertRow._make(row) for row in rows_for(conn, _by_ids, ids)}
    now = dict(before)
    changes: list[history.ChangeRow] = []
    for fact in sorted(facts, key=lambda fact: fact.sequence):
        old = now.get(fact.alert_id)
        row = advance(old, fact)
        if row is None:
            logger.warning("event %d is about an unknown alert %r", fact.sequence, fact.alert_id)
            continue
        now[fact.alert_id] = row
        if (kind := change_of(old, row, fact)) is not None:
            by = fact.by if isinstance(fact, Decision) else None
            changes.append(
                history.ChangeRow(
                    fact.alert_id,
                    fact.sequence,
                    fact.time,
                    kind,
                    row.severity,
                    row.state,
                    by,
                    row.muted_until,
                )  # fmt: skip
            )
    new: list[Record] = []
    changed: list[Record] = []
    opened = 0
    for alert_id, row in now.items():
        old = before.get(alert_id)
        if row is not old:
            (new if old is None else changed).append(row)
            opened += row.is_open - (old is not None and old.is_open)
    _writer.save(conn, new, changed)
    many = (id for id, row in now.items() if row.occurrences > history.OCCURRENCES_KEPT)
    history.save(conn, facts, changes, many)
    counters.add(conn, {"alert.open": opened})
