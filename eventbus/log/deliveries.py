"""Reading deliveries: of one event, by state, and what a subscription still has to do."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from sqlalchemy import Select, func, select

from eventbus.event import Event
from eventbus.log import schema
from eventbus.log.cursor import decode_cursor, encode_cursor
from eventbus.log.database import Database
from eventbus.log.rows import attempt_from_row, delivery_from_row, event_from_row
from eventbus.log.values import Attempt, Delivery, DeliveryPage, DeliveryState
from eventbus.timestamps import from_microseconds

_events, _deliveries, _attempts = schema.events, schema.deliveries, schema.attempts
_subscriptions = schema.subscriptions

_UNFINISHED: tuple[DeliveryState, ...] = ("pending", "retrying")
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
        query = _joined().where(_deliveries.c.sequence == sequence)  # primary key
        with self._database.reading() as conn:
            rows = conn.execute(query.order_by(_subscriptions.c.name)).all()
            tried = conn.execute(  # primary key
                select(_attempts)
                .where(_attempts.c.sequence == sequence)
                .order_by(_attempts.c.number)
            ).all()
        return [delivery_from_row(row, _attempts_of(row, tried)) for row in rows]

    def by_state(
        self, state: DeliveryState, limit: int = 50, cursor: str | None = None
    ) -> DeliveryPage:
        """Deliveries in one unfinished state, newest first. Raises CursorError."""
        before = None if cursor is None else decode_cursor(cursor, 2)
        found: list[Any] = []
        with self._database.reading() as conn:
            # One walk of ix_deliveries_unfinished per subscription, merged: there are few.
            for (subscription,) in conn.execute(select(_subscriptions.c.id)).all():
                part = _joined().where(
                    _deliveries.c.subscription == subscription,
                    _deliveries.c.state == state,
                    _deliveries.c.state != "succeeded",
                )
                if before is not None:
                    # Of the page's last sequence, what comes after its subscription is left.
                    sequence = before[0] + 1 if subscription > before[1] else before[0]
                    part = part.where(_deliveries.c.sequence < sequence)
                part = part.order_by(_deliveries.c.sequence.desc()).limit(limit + 1)
                found += conn.execute(part).all()
            found.sort(key=lambda row: (-row.sequence, row.subscription))
            page = found[:limit]
            deliveries = []
            for row in page:
                tried = conn.execute(  # primary key
                    select(_attempts)
                    .where(
                        _attempts.c.sequence == row.sequence,
                        _attempts.c.subscription == row.subscription,
                    )
                    .order_by(_attempts.c.number)
                ).all()
                deliveries.append(delivery_from_row(row, _attempts_of(row, tried)))
        more = len(found) > limit
        return DeliveryPage(
            deliveries, encode_cursor(page[-1].sequence, page[-1].subscription) if more else None
        )

    def counts(self) -> dict[str, int]:
        """How many deliveries are in each unfinished state."""
        counts = {"pending": 0, "retrying": 0, "dead": 0}
        for by_state in self.counts_by_subscription().values():
            for state in counts:
                counts[state] += by_state.get(state, 0)
        return counts

    def counts_by_subscription(self) -> dict[int, dict[str, int]]:
        """Unfinished deliveries by subscription id and state."""
        query = (  # ix_deliveries_unfinished alone answers it
            select(_deliveries.c.subscription, _deliveries.c.state, func.count())
            .where(_deliveries.c.state != "succeeded")
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

    def unfinished(self, subscription: int, after: int, limit: int) -> list[Unfinished]:
        """What this subscription still has to do after sequence ``after``, ascending."""
        query = (  # ix_deliveries_unfinished: one walk for each of the two states
            select(_deliveries.c.attempt, _deliveries.c.due_us, *_events.c)
            .join_from(_deliveries, _events, _deliveries.c.sequence == _events.c.sequence)
            .where(
                _deliveries.c.subscription == subscription,
                _deliveries.c.state.in_(_UNFINISHED),
                _deliveries.c.state != "succeeded",
                _deliveries.c.sequence > after,
            )
            .order_by(_deliveries.c.sequence)
            .limit(limit)
        )
        with self._database.reading() as conn:
            rows = conn.execute(query).all()
        return [Unfinished(event_from_row(row), row.attempt, row.due_us) for row in rows]

    def one(self, sequence: int, subscription: int) -> tuple[str, int] | None:
        """The state and the number of ended attempts of one delivery, None when there is none."""
        query = select(_deliveries.c.state, _deliveries.c.attempt).where(
            _deliveries.c.sequence == sequence, _deliveries.c.subscription == subscription
        )
        with self._database.reading() as conn:
            row = conn.execute(query).first()
        return None if row is None else (row.state, row.attempt)


def _joined() -> Select[Any]:
    return (
        select(
            *_deliveries.c,
            _events.c.id.label("event_id"),
            _events.c.type.label("event_type"),
            _events.c.subject,
            _subscriptions.c.name.label("subscription_name"),
        )
        .join_from(_deliveries, _events, _deliveries.c.sequence == _events.c.sequence)
        .outerjoin(_subscriptions, _subscriptions.c.id == _deliveries.c.subscription)
    )


def _attempts_of(row: Any, tried: Any) -> list[Attempt]:
    found = [attempt_from_row(a) for a in tried if a.subscription == row.subscription]
    if row.state == "succeeded":
        started_at = from_microseconds(row.finished_us - row.duration_us)
        found.append(Attempt(row.attempt, started_at, row.duration_us / 1_000, "succeeded"))
    return found
