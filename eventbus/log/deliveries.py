"""Reading deliveries: of one event, counts, and what a subscription still has to do."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import CompoundSelect, Connection, Row, Select, func, select, union_all

from eventbus.errors import EventLoopError
from eventbus.event import Event
from eventbus.log import schema
from eventbus.log.database import Database
from eventbus.log.lineage import Histories, chain_of
from eventbus.log.rows import (
    MOST_CHARS,
    STREAMED,
    delivery_from_row,
    whole_event_from_row,
)
from eventbus.log.values import ChainLink, Delivery, DeliveryState

_events, _deliveries, _attempts = schema.events, schema.deliveries, schema.attempts
_subscriptions = schema.subscriptions

UNFINISHED: tuple[DeliveryState, ...] = ("pending", "retrying", "dead")
_TO_DO: tuple[DeliveryState, ...] = ("pending", "retrying")
_DURATIONS = 1_000


@dataclass(frozen=True, slots=True)
class Unfinished:
    """A delivery that still has to run; ``due_us`` is set while it waits for its next attempt."""

    event: Event
    attempt: int
    due_us: int | None


class DeliveryReader:
    """Queries on deliveries; every one is bounded and can be called from any thread."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def of_event(self, sequence: int) -> list[Delivery]:
        """All durable deliveries of one event with all their attempts, by subscription name."""
        query = joined().where(_deliveries.c.sequence == sequence)  # primary key
        with self._database.reading() as conn:
            rows = conn.execute(query.order_by(_subscriptions.c.name)).all()
            is_loop = any(row.error_class == EventLoopError.__name__ for row in rows)
            return values_of(conn, rows, chain_of(conn, sequence) if is_loop else None)

    def counts(self, states: Sequence[DeliveryState] = UNFINISHED) -> dict[str, int]:
        """How many deliveries are in each of some unfinished states, by counting them."""
        counts: dict[str, int] = dict.fromkeys(states, 0)
        for by_state in self.counts_by_subscription(states).values():
            for state in counts:
                counts[state] += by_state.get(state, 0)
        return counts

    def counts_by_subscription(
        self, states: Sequence[DeliveryState] = UNFINISHED
    ) -> dict[int, dict[str, int]]:
        """Unfinished deliveries by subscription id and state."""
        query = (  # ix_deliveries_unfinished alone answers it, without what is over
            select(_deliveries.c.subscription, _deliveries.c.state, func.count())
            .where(
                _deliveries.c.subscription.in_(select(_subscriptions.c.id)),
                _deliveries.c.state.in_(states),
                _deliveries.c.state != "succeeded",
            )
            .group_by(_deliveries.c.subscription, _deliveries.c.state)
        )
        counts: dict[int, dict[str, int]] = {}
        with self._database.reading() as conn:
            for subscription, state, count in conn.execute(query):
                counts.setdefault(subscription, {})[state] = count
        return counts

    def failures(self, subscription: int) -> int:
        """How many attempts of this subscription have failed, ever."""
        query = select(func.count()).where(_attempts.c.subscription == subscription)
        with self._database.reading() as conn:  # ix_attempts_subscription
            return conn.execute(query).scalar_one()

    def recent_durations_ms(self, subscription: int, last_sequence: int) -> list[float]:
        """How long this subscription's newest deliveries took, oldest first, at most 1000."""
        query = (  # a walk of the primary key's end, of bounded length
            select(_deliveries.c.duration_us)
            .where(
                _deliveries.c.sequence > last_sequence - 10 * _DURATIONS,
                _deliveries.c.subscription == subscription,
                _deliveries.c.duration_us.is_not(None),
            )
            .order_by(_deliveries.c.sequence.desc())
            .limit(_DURATIONS)
        )
        with self._database.reading() as conn:
            return [us / 1_000 for us in conn.execute(query).scalars()][::-1]

    def unfinished(
        self, subscription: int, after: int, limit: int
    ) -> tuple[list[Unfinished], bool]:
        """What this subscription still has to do after sequence ``after``, ascending.

        At most ``limit``, and not much more payload than ``MOST_CHARS``; also whether that is all.
        """
        walks = [_to_do(subscription, state).where(_deliveries.c.sequence > after)
                 for state in _TO_DO]  # fmt: skip
        # ix_deliveries_unfinished: a walk for each state, merged; nothing is sorted.
        found, is_cut = self._bounded(union_all(*walks).order_by("sequence").limit(limit))
        return found, not is_cut and len(found) < limit

    def again(self, subscription: int, sequences: list[int]) -> tuple[list[Unfinished], int]:
        """Those of the deliveries that are still to be done; complete up to the second value.

        ``sequences`` are few enough for one statement.
        """
        walks = [_to_do(subscription, state).where(_deliveries.c.sequence.in_(sequences))
                 for state in _TO_DO]  # fmt: skip
        found, is_cut = self._bounded(union_all(*walks))
        return found, (found[-1].event.sequence or 0) if is_cut else max(sequences)

    def _bounded(self, query: CompoundSelect[Any]) -> tuple[list[Unfinished], bool]:
        """Deliveries with their events until there is enough payload, and whether there are more.

        The events come by a query of their own, in the order of their table: sorted in one with
        the deliveries, all the payloads would be in memory at once.
        """
        found: list[Unfinished] = []
        chars = 0
        with self._database.reading() as conn:
            to_do = {row.sequence: row for row in conn.execute(query)}
            events = select(_events).where(_events.c.sequence.in_(list(to_do)))  # primary key
            events = events.order_by(_events.c.sequence)
            with conn.execute(events, execution_options=STREAMED) as rows:
                for row in rows:
                    delivery = to_do[row.sequence]
                    found.append(
                        Unfinished(whole_event_from_row(row), delivery.attempt, delivery.due_us)
                    )
                    chars += len(row.data)
                    if chars >= MOST_CHARS:
                        return found, True
        return found, False

    def has_pending(self, subscription: int, many: int) -> bool:
        """Whether a subscription has so many pending deliveries."""
        some = _to_do(subscription, "pending").limit(many).subquery()  # ix_deliveries_unfinished
        with self._database.reading() as conn:
            return conn.execute(select(func.count()).select_from(some)).scalar_one() >= many

    def one(self, sequence: int, subscription: int) -> tuple[str, int] | None:
        """The state and the number of ended attempts of one delivery, None when there is none."""
        query = select(_deliveries.c.state, _deliveries.c.attempt).where(
            _deliveries.c.sequence == sequence, _deliveries.c.subscription == subscription
        )
        with self._database.reading() as conn:
            row = conn.execute(query).first()
        return None if row is None else (row.state, row.attempt)


def _to_do(subscription: int, state: DeliveryState) -> Select[Any]:
    return select(_deliveries.c.sequence, _deliveries.c.attempt, _deliveries.c.due_us).where(
        _deliveries.c.subscription == subscription,
        _deliveries.c.state == state,
        _deliveries.c.state != "succeeded",
    )


def joined() -> Select[Any]:
    """Deliveries with what ``values_of`` needs of their events and subscriptions."""
    return (
        select(
            *_deliveries.c,
            _events.c.id.label("event_id"),
            _events.c.type.label("event_type"),
            _events.c.subject,
            _subscriptions.c.name.label("subscription_name"),
            _subscriptions.c.removed_us,
        )
        .join_from(_deliveries, _events, _deliveries.c.sequence == _events.c.sequence)
        .outerjoin(_subscriptions, _subscriptions.c.id == _deliveries.c.subscription)
    )


def values_of(
    conn: Connection, rows: Sequence[Row[Any]], chain: list[ChainLink] | None = None
) -> list[Delivery]:
    """Rows of ``joined`` as deliveries with their histories; ``chain`` is for event loops."""
    histories = Histories(conn, [(row.sequence, row.subscription) for row in rows])
    found = []
    for row in rows:
        key = (row.sequence, row.subscription)
        is_loop = row.error_class == EventLoopError.__name__
        found.append(delivery_from_row(
            row, histories.attempts(key, row), histories.round(key), histories.interventions(key),
            chain if is_loop else None,
        ))  # fmt: skip
    return found
