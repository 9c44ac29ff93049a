"""The read model of alerts: what needs somebody, and what happened before."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from sqlalchemy import Select, func, literal_column, select, true

from eventbus.log import EventLog
from eventbus.log.cursor import decode_cursor, encode_cursor
from eventbus.timestamps import from_microseconds, to_microseconds
from handlers import counters
from handlers.alert import history as past
from handlers.alert.changes import ChangeKind
from handlers.alert.lifecycle import OPEN_STATES, RANKS, STATES, AlertRow, Severity, State
from handlers.alert.table import alerts
from handlers.page import Page

QUIET_AFTER = timedelta(hours=1)
"""Open, and no occurrence for this long: perhaps it is over, and nobody has said so."""
BUCKET_S = past.BUCKET_S
COUNTED = 1000
"""Alerts of a state are counted up to here."""

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

    @property
    def is_quiet(self) -> bool:
        """Whether it is open and has been silent for longer than ``QUIET_AFTER``."""
        is_silent = datetime.now(UTC) - self.last_seen > QUIET_AFTER
        return is_silent and self.state in OPEN_STATES


@dataclass(frozen=True, slots=True)
class AlertChange:
    """One line of an alert's history; ``by`` is the person who decided, None for an occurrence."""

    sequence: int
    time: datetime
    change: ChangeKind
    severity: Severity
    state: State
    by: str | None
    until: datetime | None


@dataclass(frozen=True, slots=True)
class AlertOccurrence:
    """One occurrence; the event with this ``sequence`` has all of it, unless it was removed."""

    sequence: int
    time: datetime
    severity: Severity
    eval_id: str | None


class Alerts:
    """Questions about alerts; any thread may ask."""

    def __init__(self, log: EventLog) -> None:
        self._log = log

    def get(self, alert_id: str) -> Alert | None:
        """One alert by its id, None when it never occurred."""
        found = self._fetch(select(alerts).where(alerts.c.id == alert_id))  # unique index on id
        return found[0] if found else None

    def list(
        self,
        state: State | None = None,
        limit: int = 50,
        cursor: str | None = None,
        *,
        severity: Severity | None = None,
        is_quiet: bool = False,
    ) -> Page[Alert]:
        """Alerts, those that changed last first, of one state or of all; ``limit`` is 1 to 1000.

        The state "open" means all that need somebody, so it has the regressed ones too; with
        ``is_quiet`` only those of them that are silent for longer than ``QUIET_AFTER``. Raises
        CursorError for a cursor that this list did not hand out.
        """
        limit = max(1, min(limit, _MAX_PAGE))
        query = select(alerts).order_by(alerts.c.last_sequence.desc())  # ix_alerts_last
        if is_quiet:
            # ix_alerts_quiet, which has the open ones alone: it takes the condition as the index
            # states it, and the plus keeps SQLite from reading every row of a severity instead.
            silent_since = to_microseconds(datetime.now(UTC) - QUIET_AFTER)
            query = query.where(literal_column("is_open"), alerts.c.last_seen < silent_since)
            if severity is not None:
                query = query.where(literal_column("+severity") == severity)
        elif severity is not None:
            # ix_alerts_severity, with a state ix_alerts_severity_state
            query = query.where(alerts.c.severity == severity)
        if state == "open" and not is_quiet:
            query = query.where(alerts.c.is_open == true())  # ix_alerts_open, few rows
        if state is not None and state != "open":
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

    def critical_count(self, most: int) -> int:
        """How many open alerts are critical; ``most`` when there are that many or more."""
        some = (  # ix_alerts_open
            select(alerts.c.first_sequence)
            .where(alerts.c.is_open == true(), alerts.c.rank == RANKS["critical"])
            .limit(most)
        )
        with self._log.reading() as conn:
            return conn.execute(select(func.count()).select_from(some.subquery())).scalar_one()

    def counts(self) -> dict[State, int]:
        """How many alerts are in each state, up to ``COUNTED``; "open" has the regressed ones too.

        ``open_count`` has no such bound.
        """
        counted: dict[State, int] = {}
        with self._log.reading() as conn:
            for state in STATES:
                some = select(alerts.c.first_sequence).where(alerts.c.state == state).limit(COUNTED)
                count = select(func.count()).select_from(some.subquery())  # ix_alerts_state
                counted[state] = conn.execute(count).scalar_one()
            counted["open"] = counters.read(conn)["alert.open"]
        return counted

    def rhythm(
        self, alert_ids: Sequence[str], now: datetime, columns: int, bucket_count: int = 1
    ) -> dict[str, Sequence[int]]:
        """Occurrences of each alert over time, oldest first, the last column having ``now``.

        A column stands for ``bucket_count`` times ``BUCKET_S`` seconds. Times of more than
        two days of steady occurrences ago are not kept.
        """
        last = past.bucket_of(to_microseconds(now))
        first = last - columns * bucket_count + 1
        with self._log.reading() as conn:
            found = past.counts_between(conn, alert_ids, first, last)
        series = {}
        for alert_id in alert_ids:
            values = [0] * columns
            for bucket, count in found.get(alert_id, {}).items():
                values[(bucket - first) // bucket_count] += count
            series[alert_id] = values
        return series

    def history(self, alert_id: str, limit: int = past.CHANGES_KEPT) -> Sequence[AlertChange]:
        """What became of an alert and who decided it, newest first; the last 200 are kept."""
        with self._log.reading() as conn:
            rows = past.newest_changes(conn, alert_id, limit)
        return [
            AlertChange(
                sequence=row.sequence,
                time=from_microseconds(row.time),
                change=row.change,
                severity=row.severity,
                state=row.state,
                by=row.by,
                until=None if row.until is None else from_microseconds(row.until),
            )
            for row in rows
        ]

    def occurrences(
        self, alert_id: str, limit: int = past.OCCURRENCES_KEPT
    ) -> Sequence[AlertOccurrence]:
        """The newest occurrences of an alert, newest first; the last 200 are kept."""
        with self._log.reading() as conn:
            rows = past.newest_occurrences(conn, alert_id, limit)
        return [
            AlertOccurrence(row.sequence, from_microseconds(row.time), row.severity, row.eval_id)
            for row in rows
        ]

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
