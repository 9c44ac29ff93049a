"""The durable subscriptions of a log: stored with it, and matched against every event recorded."""

from __future__ import annotations

import time
from dataclasses import dataclass

from sqlalchemy import Connection, insert, select, update

from eventbus.log import schema
from eventbus.patterns import Pattern, PatternIndex

_subscriptions, _deliveries = schema.subscriptions, schema.deliveries


@dataclass(frozen=True, slots=True)
class Subscriber:
    """A stored durable subscription; it gets events after ``since_sequence``."""

    id: int
    name: str
    pattern: Pattern
    since_sequence: int


class Subscribers:
    """Changed under the commit lock alone, so that every event is before or after a change."""

    def __init__(self, conn: Connection) -> None:
        self._by_name: dict[str, Subscriber] = {}
        self._index: PatternIndex[int] = PatternIndex()
        with conn.begin():
            stored = select(_subscriptions).where(_subscriptions.c.removed_us.is_(None))
            for row in conn.execute(stored.order_by(_subscriptions.c.id)):
                self._put(Subscriber(row.id, row.name, Pattern(row.pattern), row.since_sequence))

    def match(self, type: str) -> tuple[int, ...]:
        """The ids of the subscriptions that get events of this type."""
        return self._index.match(type)

    def all(self) -> list[Subscriber]:
        return list(self._by_name.values())

    def get(self, name: str) -> Subscriber | None:
        return self._by_name.get(name)

    def save(self, conn: Connection, name: str, pattern: Pattern, last_sequence: int) -> Subscriber:
        """Store a subscription, or give a known one its new pattern from now on."""
        known = self._by_name.get(name)
        if known is None:
            removed = select(_subscriptions.c.id).where(_subscriptions.c.name == name)
            key = conn.execute(removed).scalar()
            if key is not None:  # unsubscribed before: its dead letters are its own again
                conn.execute(
                    update(_subscriptions)
                    .where(_subscriptions.c.id == key)
                    .values(pattern=pattern.text, since_sequence=last_sequence, removed_us=None)
                )
                return Subscriber(key, name, pattern, last_sequence)
            result = conn.execute(insert(_subscriptions).values(
                name=name, pattern=pattern.text, created_us=time.time_ns() // 1_000,
                since_sequence=last_sequence,
            ))  # fmt: skip
            (key,) = result.inserted_primary_key or (0,)
            return Subscriber(key, name, pattern, last_sequence)
        if known.pattern != pattern:
            conn.execute(
                update(_subscriptions)
                .where(_subscriptions.c.id == known.id)
                .values(pattern=pattern.text)
            )
        return Subscriber(known.id, name, pattern, known.since_sequence)

    def remove(self, conn: Connection, name: str) -> None:
        """End a subscription: what it had not finished is cancelled, its dead letters stay."""
        known = self._by_name[name]
        conn.execute(
            update(_deliveries)  # ix_deliveries_unfinished
            .where(
                _deliveries.c.subscription == known.id,
                _deliveries.c.state.in_(("pending", "retrying")),
                _deliveries.c.state != "succeeded",
            )
            .values(state="cancelled")
        )
        conn.execute(
            update(_subscriptions)
            .where(_subscriptions.c.id == known.id)
            .values(removed_us=time.time_ns() // 1_000)
        )

    def saved(self, subscriber: Subscriber) -> None:
        """Take a committed ``save`` into effect."""
        self.removed(subscriber.name)
        self._put(subscriber)

    def removed(self, name: str) -> None:
        """Take a committed ``remove`` into effect."""
        known = self._by_name.pop(name, None)
        if known is not None:
            self._index.remove(known.pattern, known.id)

    def _put(self, subscriber: Subscriber) -> None:
        self._by_name[subscriber.name] = subscriber
        self._index.add(subscriber.pattern, subscriber.id)
