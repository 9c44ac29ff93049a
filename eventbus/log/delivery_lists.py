"""Finding deliveries by state and condition: pages of them, counts, the next ones."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sqlalchemy import ColumnElement, Connection, Row, func, select, tuple_

from eventbus.event import Event
from eventbus.log import schema
from eventbus.log.cursor import decode_cursor, encode_cursor
from eventbus.log.database import Database
from eventbus.log.dead_letters import DeadLetters
from eventbus.log.deliveries import joined, values_of
from eventbus.log.known_types import KnownTypes, type_matches
from eventbus.log.rows import whole_event_from_row
from eventbus.log.selections import Selection
from eventbus.log.values import DeliveryPage, DeliveryState
from eventbus.timestamps import to_microseconds

_events, _deliveries = schema.events, schema.deliveries
_subscriptions = schema.subscriptions

# A search by conditions looks at this many rows in all before it answers with what it has: at
# most about 0.2 s of work, however many dead letters there are.
_MOST_SCANNED = 50_000
_FIRST_WINDOW = 500
_LEAST_SCANNED = 1_000  # of each subscription, however many there are
# Rows that one read transaction counts or walks: a long one would keep the WAL from being folded.
_STEP = 10_000
_KEYS_AT_ONCE = 200
_ANY_SUBSCRIPTION = 2**63 - 1


class DeliveryLists:
    """Searches that any thread may make; each walks ix_deliveries_unfinished by subscription."""

    def __init__(self, database: Database, types: KnownTypes, letters: DeadLetters) -> None:
        self._database = database
        self._types = types
        self._letters = letters

    def page(
        self,
        state: DeliveryState,
        limit: int = 50,
        cursor: str | None = None,
        selection: Selection | None = None,
    ) -> DeliveryPage:
        """Deliveries in one state other than succeeded, newest first. Raises CursorError."""
        selection = selection or Selection()
        before = None if cursor is None else decode_cursor(cursor, 2)
        conditions = self._conditions(selection)
        found: list[Row[Any]] = []
        fitting: set[int] | None = None
        if state == "dead":  # the others need not be searched to know that they have none
            fitting = {
                group.subscription_id
                for group in self._letters.counts(selection)
                if selection.since is None or group.newest_at >= selection.since
            }
        horizon = 0  # above it every subscription was searched
        with self._database.reading() as conn:
            wanted = [
                id for id in _ids(conn, selection.subscription) if fitting is None or id in fitting
            ]
            most = max(_LEAST_SCANNED, _MOST_SCANNED // max(1, len(wanted)))
            for subscription in wanted:
                high = _ANY_SUBSCRIPTION
                if before is not None:
                    # Of the page's last sequence, what comes after its subscription is left.
                    high = before[0] + 1 if subscription > before[1] else before[0]
                rows, edge = self._part(conn, state, subscription, high, conditions, limit, most)
                found += rows
                horizon = max(horizon, edge)
            found = [row for row in found if row.sequence >= horizon]
            found.sort(key=lambda row: (-row.sequence, row.subscription))
            deliveries = values_of(conn, found[:limit])
        if len(found) > limit:
            last = found[limit - 1]
            return DeliveryPage(deliveries, encode_cursor(last.sequence, last.subscription))
        end = encode_cursor(horizon, _ANY_SUBSCRIPTION) if horizon else None
        return DeliveryPage(deliveries, end)

    def count(self, selection: Selection, upto_us: int) -> dict[str, int]:
        """How many dead letters that died up to ``upto_us`` are selected, by subscription.

        Those of removed subscriptions count too. From the counts that are kept; with times, or
        for single deliveries, by walking through them, in steps, each on one state of the log.
        """
        is_bounded = (selection.since, selection.until, selection.deliveries) != (None, None, None)
        kept = self._letters.counts(selection)
        counts: dict[str, int] = {}
        for name in {group.subscription for group in kept}:
            own = [group for group in kept if group.subscription == name]
            if not is_bounded and all(to_microseconds(g.newest_at) <= upto_us for g in own):
                counts[name] = sum(group.count for group in own)
                continue
            if total := self._count(selection, own[0].subscription_id, upto_us):
                counts[name] = total
        return counts

    def next_dead(
        self, selection: Selection, subscription: int, after: int, upto_us: int, limit: int
    ) -> tuple[list[int], int, bool]:
        """The next selected dead letters of one subscription after a sequence, ascending.

        With how far it has looked, and whether that was to the end.
        """
        name = selection.subscription
        with self._database.reading() as conn:
            if name is not None and subscription not in _ids(conn, name):
                return [], after, True
            if selection.deliveries is not None:
                return self._named(conn, selection, subscription, after, upto_us, limit)
            low = _window(subscription, "dead", after, _STEP)
            scanned, edge = conn.execute(
                select(func.count(), func.max(low.c.sequence)).select_from(low)
            ).one()
            if not scanned:
                return [], after, True
            query = (
                select(_deliveries.c.sequence)
                .join_from(low, _deliveries, _same(low))
                .join(_events, _events.c.sequence == _deliveries.c.sequence)
                .where(*self._conditions(selection), _deliveries.c.finished_us <= upto_us)
                .order_by(_deliveries.c.sequence)
                .limit(limit)
            )
            found = list(conn.execute(query).scalars())
        if len(found) == limit:
            return found, found[-1], False
        return found, edge, scanned < _STEP

    def subscription_ids(self, name: str | None) -> list[int]:
        """The id of one subscription, or of all, also of removed ones."""
        with self._database.reading() as conn:
            return _ids(conn, name)

    def events(self, sequences: Sequence[int]) -> list[Event]:
        """These events, whole and ascending, to be handled again; a few hundred at most."""
        query = select(_events).where(_events.c.sequence.in_(sequences))
        with self._database.reading() as conn:
            return [
                whole_event_from_row(row)
                for row in conn.execute(query.order_by(_events.c.sequence))
            ]

    def _count(self, selection: Selection, subscription: int, upto_us: int) -> int:
        if selection.deliveries is not None:
            keys, _, _ = self.next_dead(
                selection, subscription, 0, upto_us, len(selection.deliveries) + 1
            )
            return len(keys)
        conditions = [*self._conditions(selection), _deliveries.c.finished_us <= upto_us]
        total = after = 0
        while True:
            low = _window(subscription, "dead", after, _STEP)
            query = select(func.count()).join_from(low, _deliveries, _same(low)).where(*conditions)
            if selection.pattern is not None:
                query = query.join(_events, _events.c.sequence == _deliveries.c.sequence)
            with self._database.reading() as conn:
                scanned, edge = conn.execute(
                    select(func.count(), func.max(low.c.sequence)).select_from(low)
                ).one()
                total += conn.execute(query).scalar_one()
            if scanned < _STEP:
                return total
            after = edge

    def _named(
        self, conn: Connection, selection: Selection, subscription: int, after: int,
        upto_us: int, limit: int,
    ) -> tuple[list[int], int, bool]:  # fmt: skip
        name = conn.execute(
            select(_subscriptions.c.name).where(_subscriptions.c.id == subscription)
        ).scalar()
        wanted = {key for key, named in selection.deliveries or () if named == name and key > after}
        found: list[int] = []
        ordered = sorted(wanted)
        for start in range(0, len(ordered), _KEYS_AT_ONCE):
            some = [(key, subscription) for key in ordered[start : start + _KEYS_AT_ONCE]]
            query = (  # primary key
                select(_deliveries.c.sequence)
                .join_from(_deliveries, _events, _events.c.sequence == _deliveries.c.sequence)
                .where(
                    tuple_(_deliveries.c.sequence, _deliveries.c.subscription).in_(some),
                    _deliveries.c.state == "dead",
                    _deliveries.c.finished_us <= upto_us,
                    *self._conditions(selection),
                )
                .order_by(_deliveries.c.sequence)
            )
            found += conn.execute(query).scalars()
            if len(found) >= limit:
                return found[:limit], found[limit - 1], False
        return found, ordered[-1] if ordered else after, True

    def _part(
        self, conn: Connection, state: DeliveryState, subscription: int, high: int,
        conditions: list[ColumnElement[bool]], limit: int, most: int,
    ) -> tuple[Sequence[Row[Any]], int]:  # fmt: skip
        """The newest of one subscription below ``high``, and, above 0, where the search ended."""
        if not conditions:
            query = joined().where(
                _deliveries.c.subscription == subscription,
                _deliveries.c.state == state,
                _deliveries.c.state != "succeeded",
                _deliveries.c.sequence < high,
            )
            ordered = query.order_by(_deliveries.c.sequence.desc())
            return conn.execute(ordered.limit(limit + 1)).all(), 0
        found: list[Row[Any]] = []
        scanned, window = 0, _FIRST_WINDOW
        # In growing windows: what is looked for is mostly among the newest.
        while scanned < most:
            low = _newest(subscription, state, high, min(window, most - scanned))
            query = joined().join(low, _same(low)).where(*conditions)
            ordered = query.order_by(_deliveries.c.sequence.desc()).limit(limit + 1 - len(found))
            found += conn.execute(ordered).all()
            if len(found) > limit:
                return found, 0
            seen, edge = conn.execute(
                select(func.count(), func.min(low.c.sequence)).select_from(low)
            ).one()
            if seen < min(window, most - scanned):
                return found, 0
            scanned, high, window = scanned + seen, edge, window * 4
        return found, high

    def _conditions(self, selection: Selection) -> list[ColumnElement[bool]]:
        conditions: list[ColumnElement[bool]] = []
        if selection.error_class is not None:
            conditions.append(_deliveries.c.error_class == selection.error_class)
        if selection.since is not None:
            conditions.append(_deliveries.c.finished_us >= to_microseconds(selection.since))
        if selection.until is not None:
            conditions.append(_deliveries.c.finished_us < to_microseconds(selection.until))
        if selection.pattern is not None and not selection.pattern.matches_all:
            conditions.append(type_matches(self._types, selection.pattern))
        return conditions


def _ids(conn: Connection, name: str | None) -> list[int]:
    query = select(_subscriptions.c.id)
    if name is not None:
        query = query.where(_subscriptions.c.name == name)
    return list(conn.execute(query.order_by(_subscriptions.c.id)).scalars())


def _window(subscription: int, state: DeliveryState, after: int, limit: int) -> Any:
    return (  # ix_deliveries_unfinished alone answers it
        select(_deliveries.c.sequence, _deliveries.c.subscription)
        .where(
            _deliveries.c.subscription == subscription,
            _deliveries.c.state == state,
            _deliveries.c.state != "succeeded",
            _deliveries.c.sequence > after,
        )
        .order_by(_deliveries.c.sequence)
        .limit(limit)
    ).subquery()


def _newest(subscription: int, state: DeliveryState, high: int, limit: int) -> Any:
    return (  # ix_deliveries_unfinished alone answers it
        select(_deliveries.c.sequence, _deliveries.c.subscription)
        .where(
            _deliveries.c.subscription == subscription,
            _deliveries.c.state == state,
            _deliveries.c.state != "succeeded",
            _deliveries.c.sequence < high,
        )
        .order_by(_deliveries.c.sequence.desc())
        .limit(limit)
    ).subquery()


def _same(window: Any) -> ColumnElement[bool]:
    same: ColumnElement[bool] = (_deliveries.c.sequence == window.c.sequence) & (
        _deliveries.c.subscription == window.c.subscription
    )
    return same
