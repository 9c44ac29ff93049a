"""The read model of alerts: what needs somebody, and what happened before."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Select, literal_column, select, true

from eventbus.log import EventLog
from eventbus.log.cursor import decode_cursor, encode_cursor
from eventbus.timestamps import from_microseconds, to_microseconds
from handlers import counters
from handlers.alert.lifecycle import AlertRow, Severity, State
from handlers.alert.table import alerts
from handlers.page import Page

_MAX_PAGE = 1000


@dataclass(frozen=True, slots=True)
class Alert:
    """A group of alerts of one service and type of error, as it is shown.

    ``error`` (an object or text) and ``eval_id`` are the last occurrence's; ``by`` is who decided
    last. ``muted_until`` is None unless it is muted for a time. The times are aware, in UTC.
    """

    id: str
    fingerprint: str
    severity: Severity
    state: State
    service: str
    error_type: str
    error: Any
    eval_id: str | None
    occurrences: int
    first_seen: datetime
    last_seen: datetime
    muted_until: datetime | None
    by: str | None
    last_sequence: int


class Alerts:
    """Questions about alerts; any thread may ask."""

    def __init__(self, log: EventLog) -> None:
        self._log = log

    def get(self, alert_id: str) -> Alert | None:
        """One alert by its id, None when it never occurred."""
        found = self._fetch(select(alerts).where(alerts.c.id == alert_id))  # unique index on id
        return found[0] if found else None

    def list(
        self, state: State | None = None, limit: int = 50, cursor: str | None = None
    ) -> Page[Alert]:
        """Alerts, those that changed last first, of one state or of all; ``limit`` is 1 to 1000.

        The state "open" means all that need somebody, so it has the regressed ones too. Raises
        CursorError for a cursor that this list did not hand out.
        """
        limit = max(1, min(limit, _MAX_PAGE))
        query = select(alerts).order_by(alerts.c.last_sequence.desc())  # ix_alerts_last
        if state == "open":
            query = query.where(alerts.c.is_open == true())  # ix_alerts_open, few rows
        elif state is not None:
            query = query.where(alerts.c.state == state)  # ix_alerts_state
        if cursor is not None:
            (before,) = decode_cursor(cursor, 1)
            query = query.where(alerts.c.last_sequence < before)
        found = self._fetch(query.limit(limit + 1))
        items = [*found[:limit]]
        more = len(found) > limit
        return Page(items, encode_cursor(items[-1].last_sequence) if more else None)

    def open(self, limit: int = 20) -> Sequence[Alert]:
        """What needs somebody now: open and regressed, the most severe first, then the newest."""
        query = (  # ix_alerts_open
            select(alerts)
            .where(alerts.c.is_open == true())
            .order_by(alerts.c.rank.desc(), alerts.c.last_sequence.desc())
        )
        return self._fetch(query.limit(max(1, min(limit, _MAX_PAGE))))

    def mutes_ended(self, now: datetime, limit: int = 500) -> Sequence[Alert]:
        """Muted alerts whose time is over."""
        query = (  # ix_alerts_state
            select(alerts)
            .where(
                alerts.c.state == literal_column("'muted'"),
                alerts.c.muted_until <= to_microseconds(now),
            )
            .order_by(alerts.c.last_sequence)
        )
        return self._fetch(query.limit(limit))

    def open_count(self) -> int:
        """How many alerts are open or regressed."""
        with self._log.reading() as conn:
            return counters.read(conn)["alert.open"]

    def _fetch(self, query: Select[Any]) -> Sequence[Alert]:
        with self._log.reading() as conn:
            rows = conn.execute(query).all()
        return [_shown(AlertRow._make(row)) for row in rows]


def _shown(row: AlertRow) -> Alert:
    return Alert(
        id=row.id,
        fingerprint=row.fingerprint,
        severity=row.severity,
        state=row.state,
        service=row.service,
        error_type=row.error_type,
        error=json.loads(row.error),
        eval_id=row.eval_id,
        occurrences=row.occurrences,
        first_seen=from_microseconds(row.first_seen),
        last_seen=from_microseconds(row.last_seen),
        muted_until=None if row.muted_until is None else from_microseconds(row.muted_until),
        by=row.by,
        last_sequence=row.last_sequence,
    )
