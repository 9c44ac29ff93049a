"""How many events of one type there were over time, from the roll-up of what flows."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from sqlalchemy import func, select

from eventbus.log import schema
from eventbus.log.flow import LENGTHS_S
from eventbus.log.flow_tally import HAPPENED

if TYPE_CHECKING:
    from eventbus.log.eventlog import EventLog

_edges, _counts = schema.flow_edges, schema.flow_counts

MOST_POINTS = 60


@dataclass(frozen=True, slots=True)
class TypeSeries:
    """Counts for consecutive stretches of ``step_s`` seconds from ``since`` on."""

    since: datetime
    step_s: int
    counts: list[int]


def type_series(log: EventLog, type: str, since: datetime, until: datetime) -> TypeSeries:
    """At most ``MOST_POINTS`` stretches between two moments, in whole minutes, hours or days."""
    first_s = int(since.timestamp()) // 60 * 60
    last_s = max(first_s + 60, -(-int(until.timestamp()) // 60) * 60)
    length_s = next((each for each in LENGTHS_S if (last_s - first_s) / each <= 200), LENGTHS_S[-1])
    first_s -= first_s % length_s
    count = max(1, -(-(last_s - first_s) // length_s))
    per_point = -(-count // MOST_POINTS)
    step_s = length_s * per_point
    found = [0] * -(-count // per_point)
    point = ((_counts.c.start_s - first_s) // step_s).label("point")
    with log.reading() as conn:
        edge = conn.scalar(  # uq_flow_edges
            select(_edges.c.id).where(
                _edges.c.type == type, _edges.c.subscription == 0, _edges.c.caused == ""
            )
        )
        if edge is not None:
            rows = conn.execute(
                select(point, func.sum(_counts.c.count))
                .where(  # primary key
                    _counts.c.length_s == length_s,
                    _counts.c.start_s >= first_s,
                    _counts.c.start_s < last_s,
                    _counts.c.edge == edge,
                    _counts.c.measure == HAPPENED,
                )
                .group_by("point")
            )
            for at, number in rows:
                found[at] += int(number)
    return TypeSeries(datetime.fromtimestamp(first_s, UTC), step_s, found)
