"""Counts of dead letters by subscription, type and error, written together with what they count."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import (
    Connection,
    and_,
    bindparam,
    case,
    delete,
    func,
    or_,
    select,
    update,
)

from eventbus.log import schema
from eventbus.log.database import Database
from eventbus.log.selections import Selection
from eventbus.log.upsert import larger, upsert
from eventbus.log.values import DELIVERY_KINDS
from eventbus.timestamps import from_microseconds

_events, _deliveries, _counts = schema.events, schema.deliveries, schema.dead_letters
_subscriptions = schema.subscriptions

_KEYS_AT_ONCE = 500
# Of a past time: rows of each kind that are gone through, 0.1 s for a hundred thousand.
_MOST_COUNTED = 100_000
_MOST_OPERATIONS = 1_000

Group = tuple[int, str, str]
"""A subscription's id, an event type, the class of the last error ("" for none)."""

_ADD = upsert(_counts)
_ADD = _ADD.on_conflict_do_update(
    index_elements=["subscription", "type", "error_class"],
    set_={
        "count": _counts.c.count + _ADD.excluded.count,
        "newest_us": larger(_counts.c.newest_us, _ADD.excluded.newest_us),
    },
)
_TAKE = (
    update(_counts)
    .where(
        _counts.c.subscription == bindparam("of_subscription"),
        _counts.c.type == bindparam("of_type"),
        _counts.c.error_class == bindparam("of_class"),
    )
    .values(count=_counts.c.count - bindparam("taken"))
)
_BY_SUBSCRIPTION = select(
    _counts.c.subscription, func.sum(_counts.c.count).label("dead"),
    func.max(_counts.c.newest_us).label("newest_us"),
).group_by(_counts.c.subscription)  # fmt: skip


class Tally:
    """How many of some deliveries are dead letters, before a change of them and after it."""

    def __init__(self, conn: Connection, keys: Iterable[tuple[int, int]]) -> None:
        """``keys`` are sequences, each with its subscription's id."""
        self._conn = conn
        self._keys: dict[int, list[int]] = defaultdict(list)
        for sequence, subscription in keys:
            self._keys[subscription].append(sequence)
        self._before, _ = self._count()

    def changed(self) -> None:
        """Write the difference, in the transaction that has changed the deliveries."""
        after, newest = self._count()
        after.subtract(self._before)
        more = [
            {"subscription": group[0], "type": group[1], "error_class": group[2], "count": n,
             "newest_us": newest[group]}
            for group, n in after.items() if n > 0
        ]  # fmt: skip
        fewer = [
            {"of_subscription": group[0], "of_type": group[1], "of_class": group[2], "taken": -n}
            for group, n in after.items() if n < 0
        ]  # fmt: skip
        if more:
            self._conn.execute(_ADD, more)
        if fewer:
            self._conn.execute(_TAKE, fewer)
            self._conn.execute(delete(_counts).where(_counts.c.count <= 0))

    def _count(self) -> tuple[Counter[Group], Mapping[Group, int]]:
        counts: Counter[Group] = Counter()
        newest: dict[Group, int] = {}
        d = _deliveries.c
        for subscription, sequences in self._keys.items():
            for start in range(0, len(sequences), _KEYS_AT_ONCE):
                some = sequences[start : start + _KEYS_AT_ONCE]
                query = (  # primary key of both
                    select(_events.c.type, d.error_class, func.count(), func.max(d.finished_us))
                    .join_from(_deliveries, _events, _events.c.sequence == d.sequence)
                    .where(d.sequence.in_(some), d.subscription == subscription, d.state == "dead")
                    .group_by(_events.c.type, d.error_class)
                )
                for type, error_class, count, last_us in self._conn.execute(query):
                    group = (subscription, type, error_class or "")
                    counts[group] += count
                    newest[group] = max(newest.get(group, 0), last_us or 0)
        return counts, newest


@dataclass(frozen=True, slots=True)
class DeadLetterCount:
    """How many dead letters of one type died of one error at one subscription.

    ``newest_at`` is when the last of those died that have been counted here; ``is_removed``:
    nobody is subscribed under the name any more. ``subscription_id`` is that in the log.
    """

    subscription: str
    type: str
    error_class: str
    count: int
    newest_at: datetime
    is_removed: bool
    subscription_id: int


def _changed_since(conn: Connection, time_us: int) -> int | None:
    """How many were dead letters at a time that operations changed later; None when unknown."""
    o, i = schema.operations.c, schema.interventions.c
    has_worked_since = or_(o.finished_us.is_(None), o.finished_us > time_us)
    did = conn.execute(
        select(o.id, o.done)
        .where(o.kind.in_(DELIVERY_KINDS), o.done > 0, has_worked_since)
        .limit(_MOST_OPERATIONS + 1)
    ).all()
    done = sum(row.done for row in did)
    if len(did) > _MOST_OPERATIONS or done > _MOST_COUNTED:
        return None
    was_dead = and_(i.state == "dead", i.finished_us <= time_us, i.at_us > time_us)
    kept, dead = conn.execute(  # ix_interventions_operation
        select(func.count(), func.count(case((was_dead, 1))))
        .where(i.operation.in_([row.id for row in did]))
    ).one()  # fmt: skip
    return dead if kept == done else None


class DeadLetters:
    """Questions about the counts, the whole of a small table each, and about those of the past."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def total(self) -> int:
        """How many dead letters there are, those of removed subscriptions too."""
        with self._database.reading() as conn:
            return int(conn.execute(select(func.sum(_counts.c.count))).scalar() or 0)

    def total_at(self, time_us: int) -> int | None:
        """How many there were at a time, in microseconds since the epoch.

        A delivery becomes one when its last attempt ends, and is none any more when an operation
        changes it, which notes what it was. None when that cannot be told: retention has removed
        what operations did since, or it is too much to go through for a page.
        """
        with self._database.reading() as conn:
            since = _changed_since(conn, time_us)
            now = conn.execute(_BY_SUBSCRIPTION).all()
            if since is None or sum(row.dead for row in now) > _MOST_COUNTED:
                return None
            d = _deliveries.c
            some = [row.subscription for row in now if row.newest_us > time_us]
            query = select(func.count()).where(  # ix_deliveries_unfinished
                d.subscription.in_(some), d.state == "dead", d.state != "succeeded",
                d.finished_us <= time_us,
            )  # fmt: skip
            all_of = sum(row.dead for row in now if row.newest_us <= time_us)
            # int(): PostgreSQL's sums are decimal numbers.
            return since + int(all_of) + int(conn.execute(query).scalar_one())

    def newest_us(self) -> int:
        """No dead letter died after this, in microseconds since the epoch; 0 for none."""
        with self._database.reading() as conn:
            return conn.execute(select(func.max(_counts.c.newest_us))).scalar() or 0

    def counts(self, selection: Selection | None = None) -> Sequence[DeadLetterCount]:
        """The counts that a selection's type, subscription and error fit, the largest first.

        Its times and single deliveries are not looked at.
        """
        wanted = selection or Selection()
        query = (
            select(
                *_counts.c, _counts.c.count.label("dead"), _subscriptions.c.name,
                _subscriptions.c.removed_us,
            )
            .join_from(_counts, _subscriptions, _subscriptions.c.id == _counts.c.subscription)
            .order_by(_counts.c.count.desc(), _counts.c.type, _counts.c.error_class)
        )  # fmt: skip
        if wanted.subscription is not None:
            query = query.where(_subscriptions.c.name == wanted.subscription)
        if wanted.error_class is not None:
            query = query.where(_counts.c.error_class == wanted.error_class)
        with self._database.reading() as conn:
            rows = conn.execute(query).all()
        return [
            DeadLetterCount(
                row.name, row.type, row.error_class, row.dead, from_microseconds(row.newest_us),
                row.removed_us is not None, row.subscription,
            )
            for row in rows
            if wanted.pattern is None or wanted.pattern.matches(row.type)
        ]  # fmt: skip
