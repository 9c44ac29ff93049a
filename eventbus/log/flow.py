"""The roll-up of what flowed: counted behind the log, in short steps, each one transaction."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, Literal

from sqlalchemy import (
    BigInteger,
    Connection,
    bindparam,
    delete,
    func,
    insert,
    literal,
    select,
    update,
)

from eventbus.log import schema
from eventbus.log.flow_tally import (
    Edge,
    Tally,
    noted_between,
    tally_deliveries,
    tally_events,
    tally_open,
    unfinished_between,
)
from eventbus.log.prepared import ManyRows
from eventbus.log.unit import Unit
from eventbus.log.upsert import upsert

if TYPE_CHECKING:
    from eventbus.log.eventlog import EventLog

LENGTHS_S = (60, 3_600, 86_400)
KEPT_S = (3 * 86_400, 100 * 86_400)
"""How long the counts of minutes and of hours are kept; those of days stay."""

# Sequences that one step counts; about 20 ms, most of it without the interpreter.
_STEP = 5_000
# Open deliveries of one subscription; beyond it, its position waits. More than a lane has under
# way, with all that wait for a retry, so that only what has not begun stays uncounted.
_MOST_OPEN = 20_000
_OPEN_AT_ONCE = 4_000
_GROUPS_AT_ONCE = 4
# Types that somebody makes up without end are counted under one name, which no type can have.
MOST_EDGES = 5_000
OTHERS = "(others)"

Progress = Literal["behind", "going on", "done"]

_edges, _counts, _positions = schema.flow_edges, schema.flow_counts, schema.flow_positions
_open, _subscriptions = schema.flow_open, schema.subscriptions
_ADD = ManyRows(
    lambda rows: (
        "INSERT INTO flow_counts (length_s, start_s, edge, measure, count) "
        f"VALUES {rows} ON CONFLICT (length_s, start_s, edge, measure) "
        "DO UPDATE SET count = flow_counts.count + excluded.count"
    ),
    ("INTEGER", "BIGINT", "INTEGER", "INTEGER", "BIGINT"),
)
_SEEN = ManyRows(
    lambda rows: (
        "UPDATE flow_edges SET last_s = given.column2 FROM (VALUES "
        f"{rows}) AS given WHERE flow_edges.id = given.column1 AND last_s < given.column2"
    ),
    ("BIGINT", "BIGINT"),
)


class FlowCounter:
    """For one thread. What it counts is exact: counts, positions and what is open are one state.

    A delivery is counted when it has succeeded, a failed attempt when it has ended. The log is
    passed once; what is unfinished then is noted and looked at again until it is over.
    """

    def __init__(self, log: EventLog) -> None:
        self._log = log
        with log.reading() as conn:
            rows = conn.execute(select(_positions)).all()
            self._edges: dict[Edge, int] = {
                (row.type, row.subscription, row.caused): row.id
                for row in conn.execute(select(_edges))
            }
        self._at = {row.subscription: row.position for row in rows}
        self._turn = 0
        # What the step passes: subscriptions, from, to, and how many of it are noted as open.
        self._passed: list[tuple[list[int], int, int, int]] = []
        # Where in what is open it is, and the log's version when it began there from the start.
        self._open_after = (0, 0)
        self._round = -1

    @property
    def position(self) -> int:
        """Up to where the events themselves are counted."""
        position: int = self._at.get(0, 0)
        return position

    def step(self, upto: int) -> Progress:
        """Count on, up to a sequence at most.

        ``behind``: there is more to count at once; ``going on``: not all that is open was looked
        at since something has changed; ``done``: it was.
        """
        tally = Tally()
        version = self._log.version
        if self._open_after == (0, 0):
            self._round = version
        self._passed.clear()
        with self._log.reading() as conn:
            names = self._known(conn, tally)
            is_behind = self._pass_on(conn, tally, names, upto)
            after = tally_open(conn, tally, self._open_after, _OPEN_AT_ONCE)
        self._open_after = after or (0, 0)
        if not tally.is_empty:
            self._commit(tally)
        if is_behind:
            return "behind"
        is_whole = after is None and self._round == version
        return "done" if is_whole and tally.is_empty else "going on"

    def prune(self, now_s: int) -> None:
        """Remove a few of the counts that are kept no longer."""
        for length_s, kept_s in zip(LENGTHS_S, KEPT_S, strict=False):
            oldest = select(func.min(_counts.c.start_s)).where(_counts.c.length_s == length_s)
            with self._log.reading() as conn:  # primary key
                start_s = conn.execute(oldest).scalar()
            before_s = min(now_s - kept_s, (start_s or now_s) + 10 * length_s)
            if start_s is not None and start_s < before_s:
                old = delete(_counts).where(
                    _counts.c.length_s == length_s, _counts.c.start_s < before_s
                )
                self._log.commit(Unit(call=lambda conn, old=old: conn.execute(old)))  # type: ignore[misc]

    # -- reading -----------------------------------------------------------------------------

    def _known(self, conn: Connection, tally: Tally) -> dict[str, int]:
        """The ids of the subscriptions by name; new ones get a position."""
        is_first = not self._at
        names = {}
        for row in conn.execute(select(_subscriptions)):
            names[row.name] = row.id
            if row.id not in self._at:
                tally.positions[row.id] = 0 if is_first else row.since_sequence
        if is_first:
            tally.positions[0] = 0
        return names

    def _pass_on(self, conn: Connection, tally: Tally, names: dict[str, int], upto: int) -> bool:
        groups: dict[int, list[int]] = {}
        for subscription, position in {**self._at, **tally.positions}.items():
            if position < upto:
                groups.setdefault(position, []).append(subscription)
        order = sorted(groups)
        # In turn: one that waits for its backlog holds up none of the others.
        chosen = [order[(self._turn + n) % len(order)] for n in range(len(order))]
        self._turn += 1
        is_behind = len(chosen) > _GROUPS_AT_ONCE
        for after in chosen[:_GROUPS_AT_ONCE]:
            end = min(upto, after + _STEP)
            moved = self._may_pass(conn, groups[after], after, end)
            if 0 in moved:
                tally_events(conn, tally, names, after, end)
            if durable := [each for each in moved if each]:
                tally_deliveries(conn, tally, durable, after, end)
                noted = noted_between(conn, durable, after, end)
                self._passed.append((durable, after, end, noted))
            for each in moved:
                tally.positions[each] = end
            is_behind = is_behind or (bool(moved) and end < upto)
        return is_behind

    def _may_pass(
        self, conn: Connection, subscriptions: list[int], after: int, upto: int
    ) -> list[int]:
        """Those whose unfinished deliveries up to there can all be noted as open."""
        waiting = unfinished_between(conn, subscriptions, after, upto)
        if not waiting:
            return subscriptions
        query = (
            select(_open.c.subscription, func.count())
            .where(_open.c.subscription.in_(waiting))
            .group_by(_open.c.subscription)
        )
        held = {row[0]: row[1] for row in conn.execute(query)}
        return [
            each for each in subscriptions
            if waiting.get(each, 0) + held.get(each, 0) <= _MOST_OPEN
        ]  # fmt: skip

    # -- writing -----------------------------------------------------------------------------

    def _commit(self, tally: Tally) -> None:
        new: dict[Edge, int] = {}

        def write(conn: Connection) -> None:
            new.clear()  # called anew when the commit is tried again
            for durable, after, end, noted in self._passed:
                if noted_between(conn, durable, after, end) != noted:
                    # Made pending again since it was read: all of it is read anew.
                    tally.positions.clear()
                    return
            self._write_counts(conn, tally, new)
            _write_positions(conn, tally.positions)
            _write_open(conn, tally)

        self._log.commit(Unit(call=write))
        self._edges |= new
        self._at |= tally.positions

    def _write_counts(self, conn: Connection, tally: Tally, new: dict[Edge, int]) -> None:
        added: dict[tuple[int, int, int, int], int] = {}
        seen: dict[int, int] = {}
        for (edge, at, measure), count in tally.counts.items():
            id = self._id_of(conn, edge, new)
            seen[id] = max(seen.get(id, 0), at)
            for length_s in LENGTHS_S:
                key = (length_s, at - at % length_s, id, measure)
                added[key] = added.get(key, 0) + count
        _ADD.run(conn, [(*key, count) for key, count in sorted(added.items())])
        _SEEN.run(conn, seen.items())

    def _id_of(self, conn: Connection, edge: Edge, new: dict[Edge, int]) -> int:
        known = self._edges.get(edge) or new.get(edge)
        if known is not None:
            return known
        if len(self._edges) + len(new) >= MOST_EDGES and OTHERS not in (edge[0], edge[2]):
            return self._id_of(conn, (OTHERS, edge[1], edge[2] and OTHERS), new)
        type, subscription, caused = edge
        result = conn.execute(
            insert(_edges).values(type=type, subscription=subscription, caused=caused, last_s=0)
        )
        (id,) = result.inserted_primary_key or (0,)
        new[edge] = id
        return int(id)


def reopen(conn: Connection, subscription: int, sequences: Iterable[int]) -> None:
    """Note that deliveries begin a new round: those that are counted are to be looked at again.

    So are those that the next step may be counting at this moment.
    """
    passed = select(_positions.c.position).where(_positions.c.subscription == subscription)
    position = conn.execute(passed).scalar()
    if position is None:
        return
    a, key = schema.attempts.c, bindparam("key", type_=BigInteger)
    counted = (
        select(func.coalesce(func.max(a.number), 0))
        .where(a.sequence == key, a.subscription == subscription, a.sequence <= position)
        .scalar_subquery()
    )
    row = upsert(_open).values(
        sequence=key, subscription=literal(subscription), attempts=counted, version=0
    )
    keys = [{"key": each} for each in sequences if each <= position + _STEP]
    if keys:
        conn.execute(
            row.on_conflict_do_update(
                index_elements=["sequence", "subscription"], set_={"version": _open.c.version + 1}
            ),
            keys,
        )


def _write_positions(conn: Connection, positions: dict[int, int]) -> None:
    if positions:
        row = upsert(_positions)
        conn.execute(
            row.on_conflict_do_update(
                index_elements=["subscription"], set_={"position": row.excluded.position}
            ),
            [{"subscription": key, "position": value} for key, value in positions.items()],
        )


def _write_open(conn: Connection, tally: Tally) -> None:
    o = _open.c
    if tally.opened:
        conn.execute(insert(_open), [_open_row(*each) for each in tally.opened])
    if tally.updated:
        conn.execute(
            update(_open)
            .where(o.sequence == bindparam("s"), o.subscription == bindparam("d"))
            .values(attempts=bindparam("n")),
            [{"s": s, "d": d, "n": number} for s, d, number in tally.updated],
        )
    if tally.closed:
        # Not one that began a new round since it was read.
        conn.execute(
            delete(_open).where(
                o.sequence == bindparam("s"),
                o.subscription == bindparam("d"),
                o.version == bindparam("v"),
            ),  # fmt: skip
            [{"s": s, "d": d, "v": version} for s, d, version in tally.closed],
        )


def _open_row(sequence: int, subscription: int, attempts: int) -> dict[str, Any]:
    return {
        "sequence": sequence, "subscription": subscription, "attempts": attempts, "version": 0
    }  # fmt: skip
