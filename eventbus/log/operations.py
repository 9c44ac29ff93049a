"""Operations in the database: their rows, and what a step of one does to deliveries."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from typing import Any

from sqlalchemy import (
    Connection,
    Row,
    Select,
    func,
    insert,
    literal,
    select,
    tuple_,
    update,
)

from eventbus.log import schema
from eventbus.log.cursor import decode_cursor, encode_cursor
from eventbus.log.dead_letters import Tally
from eventbus.log.deliveries import joined, values_of
from eventbus.log.flow import reopen
from eventbus.log.upsert import larger
from eventbus.log.values import (
    DELIVERY_KINDS,
    DeliveryPage,
    DeliveryState,
    Operation,
    OperationPage,
    OperationState,
)
from eventbus.timestamps import from_microseconds

_operations, _interventions = schema.operations, schema.interventions
_events, _deliveries, _attempts = schema.events, schema.deliveries, schema.attempts
_subscriptions = schema.subscriptions

# Of how many deliveries of one operation it is counted what has become of them.
_MOST_OUTCOMES = 100_000
# How many of them one look for those in one state goes through.
_MOST_SEARCHED = 5_000
_KEYS_AT_ONCE = 200


# -- reading ----------------------------------------------------------------------------------


def get(conn: Connection, id: int) -> Operation | None:
    """One operation; when it has ended, with what has become of its deliveries."""
    row = conn.execute(select(_operations).where(_operations.c.id == id)).first()
    if row is None:
        return None
    # Not while it runs: those who follow it ask many times.
    return _from_row(row, None if row.state == "running" else _outcomes(conn, row))


def page(conn: Connection, limit: int, cursor: str | None = None) -> OperationPage:
    """Operations, newest first. Raises CursorError."""
    query = select(_operations).order_by(_operations.c.id.desc()).limit(limit + 1)
    if cursor is not None:
        (before,) = decode_cursor(cursor, 1)
        query = query.where(_operations.c.id < before)
    rows = conn.execute(query).all()
    found = [_from_row(row) for row in rows[:limit]]
    return OperationPage(found, encode_cursor(found[-1].id) if len(rows) > limit else None)


def outcomes_so_far(conn: Connection, id: int, most: int) -> dict[str, int] | None:
    """What has become by now of an operation's deliveries; None when it has more than ``most``."""
    done = conn.execute(select(_operations.c.done).where(_operations.c.id == id)).scalar() or 0
    return _outcomes_of(conn, id) if done <= most else None


def deliveries(
    conn: Connection, id: int, limit: int, cursor: str | None = None,
    state: DeliveryState | None = None,
) -> DeliveryPage:  # fmt: skip
    """What an operation has done something to, ascending, as it is now. Raises CursorError.

    Those in one ``state`` are looked for among so many at a time that a page may be short.
    """
    i = _interventions.c
    window = select(i.sequence, i.subscription).where(i.operation == id)
    if cursor is not None:
        after, last = decode_cursor(cursor, 2)
        window = window.where(tuple_(i.sequence, i.subscription) > tuple_(after, last))
    size = limit if state is None else _MOST_SEARCHED
    # ix_interventions_operation, which ends with the primary key
    found = conn.execute(window.order_by(i.sequence, i.subscription).limit(size + 1)).all()
    keys, has_more = found[:size], len(found) > size
    rows: list[Row[Any]] = []
    last_key = (keys[-1].sequence, keys[-1].subscription) if keys else None
    for start in range(0, len(keys), _KEYS_AT_ONCE):
        some = keys[start : start + _KEYS_AT_ONCE]
        d = _deliveries.c
        query = joined().where(  # primary key
            d.sequence.in_({key.sequence for key in some}),
            tuple_(d.sequence, d.subscription).in_([tuple(key) for key in some]),
        )
        if state is not None:
            query = query.where(d.state == state)
        rows += conn.execute(query.order_by(d.sequence, d.subscription)).all()
        if len(rows) > limit:
            last_key, has_more = (rows[limit - 1].sequence, rows[limit - 1].subscription), True
            break
    next_cursor = None
    if has_more and last_key is not None:
        next_cursor = encode_cursor(*last_key)
    return DeliveryPage(values_of(conn, rows[:limit]), next_cursor)


def running(conn: Connection) -> list[tuple[Operation, int]]:
    """Those that have not ended, with the position of each, oldest first; there are few rows."""
    query = select(_operations).where(_operations.c.state == "running")
    rows = conn.execute(query.order_by(_operations.c.id)).all()
    return [(_from_row(row), row.position) for row in rows]


def newest_id(conn: Connection) -> int:
    """The id of the newest operation, 0 before the first."""
    return conn.execute(select(func.max(_operations.c.id))).scalar() or 0


def is_subscribed(conn: Connection, subscription: int) -> bool:
    """Whether the subscription is there and not removed."""
    query = select(_subscriptions.c.id).where(
        _subscriptions.c.id == subscription, _subscriptions.c.removed_us.is_(None)
    )
    return conn.execute(query).first() is not None


# -- writing, in a transaction of the writer's ------------------------------------------------


def create(conn: Connection, operation: Operation, started_us: int, position: int) -> None:
    """Store a new operation."""
    conn.execute(insert(_operations).values(
        id=operation.id, kind=operation.kind, state=operation.state,
        selection=json.dumps(operation.selection), requested_by=operation.by,
        reason=operation.reason, rate=operation.rate, total=operation.total, done=0, skipped=0,
        position=position, started_us=started_us, event_id=operation.event_id,
    ))  # fmt: skip


def advance(
    conn: Connection, id: int, done: int, skipped: int, position: int | None = None
) -> None:
    """Count what a step has done."""
    conn.execute(
        update(_operations)
        .where(_operations.c.id == id)
        .values(
            done=_operations.c.done + done,
            skipped=_operations.c.skipped + skipped,
            position=_operations.c.position if position is None else position,
        )
    )


def ask_to_stop(conn: Connection, id: int, by: str) -> None:
    """Note who wants it to end, for the process that works at it."""
    conn.execute(
        update(_operations)
        .where(_operations.c.id == id, _operations.c.state == "running")
        .values(stopped_by=by)
    )


def end(
    conn: Connection, id: int, state: OperationState, finished_us: int,
    stopped_by: str | None = None, error: str | None = None,
) -> None:  # fmt: skip
    """Note that it is over. Of one that came to its end, what was not done was skipped."""
    values: dict[str, Any] = {
        "state": state, "finished_us": finished_us, "stopped_by": stopped_by, "error": error,
    }  # fmt: skip
    if state == "finished":
        total = larger(_operations.c.total, _operations.c.done + _operations.c.skipped)
        values |= {"total": total, "skipped": total - _operations.c.done}
    conn.execute(update(_operations).where(_operations.c.id == id).values(values))


def make_pending(
    conn: Connection, operation: int, at_us: int, subscription: int, sequences: Sequence[int],
    states: Iterable[str], *, new_too: bool = False,
) -> list[int]:  # fmt: skip
    """Begin a new round of those deliveries that are in one of ``states``; returns which.

    ``new_too``: also of events that the subscription has never had, whose rows are made. Events
    that retention has removed, or whose payload it has, are left alone.
    """
    sequences = _whole(conn, sequences)
    known = _states(conn, subscription, sequences)
    allowed = frozenset(states)
    again = [sequence for sequence in sequences if known.get(sequence) in allowed]
    new = [sequence for sequence in sequences if sequence not in known] if new_too else []
    if again:
        conn.execute(_intervention(operation, at_us, subscription, again))
        tally = Tally(conn, [(sequence, subscription) for sequence in again])
        conn.execute(
            update(_deliveries)  # primary key
            .where(_deliveries.c.subscription == subscription, _deliveries.c.sequence.in_(again))
            .values(
                state="pending", attempt=0, due_us=None, finished_us=None, duration_us=None,
                error_class=None, error_message=None,
            )
        )  # fmt: skip
        tally.changed()
        reopen(conn, subscription, again)
    if new:
        conn.execute(
            insert(_deliveries),
            [
                {"sequence": sequence, "subscription": subscription, "state": "pending",
                 "attempt": 0}
                for sequence in new
            ],
        )  # fmt: skip
        conn.execute(
            insert(_interventions),
            [
                {"sequence": sequence, "subscription": subscription, "number": 1,
                 "operation": operation, "at_us": at_us, "attempt": 0, "failures": 0}
                for sequence in new
            ],
        )  # fmt: skip
        reopen(conn, subscription, new)
    return sorted(again + new)


def discard(
    conn: Connection, operation: int, at_us: int, subscription: int, sequences: Sequence[int]
) -> list[int]:
    """Make dead letters discarded ones; returns which still were dead letters."""
    known = _states(conn, subscription, sequences)
    dead = [sequence for sequence in sequences if known.get(sequence) == "dead"]
    if dead:
        conn.execute(_intervention(operation, at_us, subscription, dead))
        tally = Tally(conn, [(sequence, subscription) for sequence in dead])
        conn.execute(
            update(_deliveries)  # primary key
            .where(_deliveries.c.subscription == subscription, _deliveries.c.sequence.in_(dead))
            .values(state="discarded")
        )
        tally.changed()
    return dead


def _whole(conn: Connection, sequences: Sequence[int]) -> list[int]:
    """Those that are in the log with their payload."""
    query = select(_events.c.sequence).where(  # primary key
        _events.c.sequence.in_(sequences), _events.c.data != ""
    )
    return sorted(conn.execute(query).scalars())


def _states(
    conn: Connection, subscription: int, sequences: Sequence[int]
) -> dict[int, DeliveryState]:
    query = select(_deliveries.c.sequence, _deliveries.c.state).where(
        _deliveries.c.subscription == subscription, _deliveries.c.sequence.in_(sequences)
    )
    return {row.sequence: row.state for row in conn.execute(query)}


def _intervention(operation: int, at_us: int, subscription: int, sequences: Sequence[int]) -> Any:
    """The insert that keeps what the deliveries are before they are changed."""
    d = _deliveries.c
    number = (
        select(func.coalesce(func.max(_interventions.c.number), 0) + 1)
        .where(
            _interventions.c.sequence == d.sequence, _interventions.c.subscription == subscription
        )
        .scalar_subquery()
    )
    failures = (
        select(func.coalesce(func.max(_attempts.c.number), 0))
        .where(_attempts.c.sequence == d.sequence, _attempts.c.subscription == subscription)
        .scalar_subquery()
    )
    rows = select(
        d.sequence, d.subscription, number, literal(operation), literal(at_us), d.state,
        d.attempt, failures, d.finished_us, d.duration_us,
    ).where(d.subscription == subscription, d.sequence.in_(sequences))  # fmt: skip
    columns = [
        "sequence", "subscription", "number", "operation", "at_us", "state", "attempt",
        "failures", "finished_us", "duration_us",
    ]  # fmt: skip
    return insert(_interventions).from_select(columns, rows)


def _outcomes(conn: Connection, row: Row[Any]) -> dict[str, int] | None:
    is_counted = row.kind in DELIVERY_KINDS and row.done <= _MOST_OUTCOMES
    return _outcomes_of(conn, row.id) if is_counted else None


def _outcomes_of(conn: Connection, id: int) -> dict[str, int]:
    i = _interventions.c
    query: Select[Any] = (  # ix_interventions_operation, then the primary key of each delivery
        select(_deliveries.c.state, func.count())
        .join_from(
            _interventions,
            _deliveries,
            (_deliveries.c.sequence == i.sequence) & (_deliveries.c.subscription == i.subscription),
        )
        .where(i.operation == id)
        .group_by(_deliveries.c.state)
    )
    return {row[0]: row[1] for row in conn.execute(query)}


def _from_row(row: Row[Any], outcomes: dict[str, int] | None = None) -> Operation:
    return Operation(
        row.id, row.kind, row.state, json.loads(row.selection), row.requested_by, row.reason,
        row.rate, row.total, row.done, row.skipped, from_microseconds(row.started_us),
        None if row.finished_us is None else from_microseconds(row.finished_us),
        row.stopped_by, row.error, row.event_id, outcomes,
    )  # fmt: skip
