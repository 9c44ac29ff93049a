"""The durable subscriptions of a log: stored with it, and matched against every event recorded."""

from __future__ import annotations

import time
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, insert, select, update

from eventbus.errors import SubscriptionError
from eventbus.log import schema
from eventbus.patterns import Pattern, PatternIndex
from eventbus.timestamps import from_microseconds, to_microseconds

_subscriptions, _deliveries = schema.subscriptions, schema.deliveries


@dataclass(frozen=True, slots=True)
class Pause:
    """Since when a subscription handles nothing, who wanted it so, and why."""

    at: datetime
    by: str
    reason: str | None = None


@dataclass(frozen=True, slots=True)
class Subscriber:
    """A stored durable subscription; it gets events after ``since_sequence``."""

    id: int
    name: str
    pattern: Pattern
    since_sequence: int
    pause: Pause | None = None


class Subscribers:
    """Changed under the commit lock alone, so that every event is before or after a change."""

    def __init__(self, conn: Connection) -> None:
        self._by_name: dict[str, Subscriber] = {}
        self._index: PatternIndex[int] = PatternIndex()
        self.paused_ids: set[int] = set()
        """Whose deliveries stay pending; any thread may look."""
        self.version = 0
        """Of the log's head, as these were read; where other processes write, too."""
        with conn.begin():
            self.read(conn, 0)

    def read(self, conn: Connection, version: int) -> None:
        """Take what is stored instead of what is known; in a transaction of the writer's."""
        stored = select(_subscriptions).where(_subscriptions.c.removed_us.is_(None))
        found = {row.name: _subscriber(row) for row in conn.execute(stored)}
        for name in [name for name in self._by_name if name not in found]:
            self.removed(name)
        for name, subscriber in sorted(found.items(), key=lambda item: item[1].id):
            if self._by_name.get(name) != subscriber:
                self.saved(subscriber)
        self.version = version

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
        return replace(known, pattern=pattern)

    def pause(self, conn: Connection, name: str, pause: Pause | None) -> Subscriber | None:
        """Store that a subscription is paused, or is no more; None when that was so before.

        Raises SubscriptionError for an unknown one.
        """
        known = self._by_name.get(name)
        if known is None:
            raise SubscriptionError(f"no durable subscription is named {name!r}")
        if (known.pause is None) == (pause is None):
            return None
        conn.execute(
            update(_subscriptions)
            .where(_subscriptions.c.id == known.id)
            .values(
                paused_us=None if pause is None else to_microseconds(pause.at),
                paused_by=None if pause is None else pause.by,
                pause_reason=None if pause is None else pause.reason,
            )
        )
        return replace(known, pause=pause)

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
            .values(
                removed_us=time.time_ns() // 1_000,
                paused_us=None,
                paused_by=None,
                pause_reason=None,
            )  # fmt: skip
        )

    def saved(self, subscriber: Subscriber) -> None:
        """Take a committed ``save`` or ``pause`` into effect."""
        self._drop(subscriber.name)
        self._put(subscriber)

    def removed(self, name: str) -> None:
        """Take a committed ``remove`` into effect."""
        known = self._drop(name)
        if known is not None:
            self.paused_ids.discard(known.id)

    def _drop(self, name: str) -> Subscriber | None:
        known = self._by_name.pop(name, None)
        if known is not None:
            self._index.remove(known.pattern, known.id)
        return known

    def _put(self, subscriber: Subscriber) -> None:
        self._by_name[subscriber.name] = subscriber
        self._index.add(subscriber.pattern, subscriber.id)
        if subscriber.pause is None:
            self.paused_ids.discard(subscriber.id)
        else:
            self.paused_ids.add(subscriber.id)


def _subscriber(row: Any) -> Subscriber:
    pause = None
    if row.paused_us is not None:
        pause = Pause(from_microseconds(row.paused_us), row.paused_by, row.pause_reason)
    return Subscriber(row.id, row.name, Pattern(row.pattern), row.since_sequence, pause)
