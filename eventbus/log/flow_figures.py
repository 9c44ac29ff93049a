"""Reading the roll-up of what flowed: sums over a window of time, and series for small charts."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from sqlalchemy import Connection, func, select

from eventbus.histogram import percentile_ms
from eventbus.log import schema
from eventbus.log.flow import KEPT_S, LENGTHS_S
from eventbus.log.flow_tally import FAILED, HAPPENED, TOOK
from eventbus.log.moments import oldest_after
from eventbus.timestamps import from_microseconds

if TYPE_CHECKING:
    from eventbus.log.eventlog import EventLog

_edges, _counts, _positions = schema.flow_edges, schema.flow_counts, schema.flow_positions
_subscriptions = schema.subscriptions

MOST_POINTS = 60


@dataclass(frozen=True, slots=True)
class Handled:
    """One type at one subscription: failed attempts, and successes by bucket of their duration."""

    type: str
    subscription: str
    failures: int
    took: Mapping[int, int]
    last_at: datetime

    @property
    def succeeded(self) -> int:
        """How many deliveries succeeded."""
        return sum(self.took.values())

    def percentile_ms(self, percent: float) -> float | None:
        """How long they took, to about an eighth; None without any."""
        return percentile_ms(self.took, percent)


@dataclass(frozen=True, slots=True)
class Caused:
    """Events of type ``caused`` that a subscription published while it handled a ``type``.

    ``subscription`` is None when they name their cause but come from no handler.
    """

    type: str
    subscription: str | None
    caused: str
    count: int
    last_at: datetime


@dataclass(frozen=True, slots=True)
class Recorded:
    """Events of one type."""

    type: str
    count: int
    last_at: datetime


@dataclass(frozen=True, slots=True)
class FlowFigures:
    """What flowed from ``since`` until ``until``, which are whole minutes, hours or days.

    Edges that had nothing in that time are there with zeros. ``position``: the sequence up to
    which events are counted. ``by_subscription`` sums the types up, as type "". Before ``began``
    the log had no event; None when that is not known.
    """

    since: datetime
    until: datetime
    position: int
    recorded: list[Recorded] = field(default_factory=list)
    handled: list[Handled] = field(default_factory=list)
    caused: list[Caused] = field(default_factory=list)
    by_subscription: dict[str, Handled] = field(default_factory=dict)
    began: datetime | None = None

    def lasted_s(self, until: datetime) -> float:
        """For how long there was something to count up to ``until``, for rates; 1 at least."""
        since = self.since if self.began is None else max(self.since, self.began)
        return max(1.0, (until - since).total_seconds())


@dataclass(frozen=True, slots=True)
class FlowSeries:
    """Counts by subscription for consecutive stretches of ``step_s`` seconds from ``since`` on."""

    since: datetime
    step_s: int
    succeeded: dict[str, list[int]]
    failures: dict[str, list[int]]


def figures(log: EventLog, since: datetime, until: datetime) -> FlowFigures:
    """The figures of a window; at most a few ten thousand rows are read, however long it is."""
    first_s, last_s = _whole(since, until)
    parts = pieces(first_s, last_s, _now_s())
    sums: dict[int, dict[int, int]] = {}
    with log.reading() as conn:
        for length_s, start_s, end_s in parts:
            rows = conn.execute(
                select(_counts.c.edge, _counts.c.measure, func.sum(_counts.c.count))
                .where(  # primary key
                    _counts.c.length_s == length_s,
                    _counts.c.start_s >= start_s,
                    _counts.c.start_s < end_s,
                )
                .group_by(_counts.c.edge, _counts.c.measure)
            )
            for edge, measure, count in rows:
                own = sums.setdefault(edge, {})
                own[measure] = own.get(measure, 0) + int(count)
        edges = conn.execute(select(_edges).order_by(_edges.c.type, _edges.c.caused)).all()
        names = _names(conn)
        position = conn.execute(
            select(_positions.c.position).where(_positions.c.subscription == 0)
        ).scalar()
        # What retention has removed was counted too, and nobody knows when it began.
        first = None if log.removed_upto else oldest_after(conn, 0)
    found = FlowFigures(
        _moment(min(first_s, parts[0][1])), _moment(last_s), position or 0,
        began=None if first is None else from_microseconds(first.recorded_us),
    )  # fmt: skip
    totals: dict[str, dict[int, int]] = {}
    newest: dict[str, int] = {}
    for edge in edges:
        own = sums.get(edge.id, {})
        last_at = _moment(edge.last_s)
        name = names.get(edge.subscription)
        if edge.caused:
            count = own.get(HAPPENED, 0)
            found.caused.append(Caused(edge.type, name, edge.caused, count, last_at))
        elif name is None:
            found.recorded.append(Recorded(edge.type, own.get(HAPPENED, 0), last_at))
        else:
            found.handled.append(_handled(edge.type, name, own, last_at))
            total = totals.setdefault(name, {})
            newest[name] = max(newest.get(name, 0), edge.last_s)
            for measure, count in own.items():
                total[measure] = total.get(measure, 0) + count
    for name, total in totals.items():
        found.by_subscription[name] = _handled("", name, total, _moment(newest[name]))
    return found


def series(log: EventLog, since: datetime, until: datetime) -> FlowSeries:
    """Counts by subscription in at most ``MOST_POINTS`` stretches."""
    first_s, last_s = _whole(since, until)
    length_s = next((each for each in LENGTHS_S if (last_s - first_s) / each <= 200), LENGTHS_S[-1])
    first_s -= first_s % length_s
    count = max(1, -(-(last_s - first_s) // length_s))
    per_point = -(-count // MOST_POINTS)
    step_s = length_s * per_point
    points = -(-count // per_point)
    succeeded: dict[str, list[int]] = {}
    failures: dict[str, list[int]] = {}
    point = ((_counts.c.start_s - first_s) // step_s).label("point")
    is_failure = (_counts.c.measure == FAILED).label("is_failure")
    with log.reading() as conn:
        names = _names(conn)
        rows = conn.execute(
            select(_edges.c.subscription, point, is_failure, func.sum(_counts.c.count))
            .join_from(_counts, _edges, _edges.c.id == _counts.c.edge)
            .where(  # primary key
                _counts.c.length_s == length_s,
                _counts.c.start_s >= first_s,
                _counts.c.start_s < last_s,
                _counts.c.measure != HAPPENED,
            )
            .group_by(_edges.c.subscription, "point", "is_failure")
        )
        for subscription, at, has_failed, number in rows:
            name = names.get(subscription)
            if name is not None:
                kind = failures if has_failed else succeeded
                kind.setdefault(name, [0] * points)[at] += int(number)
    return FlowSeries(_moment(first_s), step_s, succeeded, failures)


def pieces(first_s: int, last_s: int, now_s: int) -> list[tuple[int, int, int]]:
    """A window as few stretches of whole days, hours and minutes: length, start, end.

    What is kept in minutes or in hours no longer is widened to what there is.
    """
    kept = [length for length, kept_s in zip(LENGTHS_S, KEPT_S, strict=False)
            if first_s >= now_s - kept_s]  # fmt: skip
    return list(_cover(first_s, last_s, [*kept, LENGTHS_S[-1]], last_s >= now_s))


def _cover(
    first_s: int, last_s: int, lengths: list[int], is_open: bool
) -> Iterator[tuple[int, int, int]]:
    """``is_open``: nothing has come after the window yet, so its end may be passed."""
    *shorter, length_s = lengths
    start_s, end_s = -(-first_s // length_s) * length_s, last_s // length_s * length_s
    if is_open or not shorter:
        end_s = -(-last_s // length_s) * length_s
    if not shorter:
        yield length_s, first_s // length_s * length_s, end_s
    elif start_s >= end_s:
        yield from _cover(first_s, last_s, shorter, is_open)
    else:
        if first_s < start_s:
            yield from _cover(first_s, start_s, shorter, False)
        yield length_s, start_s, end_s
        if end_s < last_s:
            yield from _cover(end_s, last_s, shorter, is_open)


def _whole(since: datetime, until: datetime) -> tuple[int, int]:
    """The window in whole minutes, in seconds since the epoch, at least one."""
    first_s = int(since.timestamp()) // 60 * 60
    return first_s, max(first_s + 60, -(-int(until.timestamp()) // 60) * 60)


def _handled(type: str, name: str, own: dict[int, int], last_at: datetime) -> Handled:
    took = {measure - TOOK: count for measure, count in own.items() if measure >= TOOK}
    return Handled(type, name, own.get(FAILED, 0), took, last_at)


def _names(conn: Connection) -> dict[int, str]:
    return {row.id: row.name for row in conn.execute(select(_subscriptions))}


def _moment(second: int) -> datetime:
    return datetime.fromtimestamp(second, UTC)


def _now_s() -> int:
    return int(datetime.now(UTC).timestamp())
