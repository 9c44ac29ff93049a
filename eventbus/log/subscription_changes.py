"""Changes of the durable subscriptions, each between two commits, in every process of the log."""

from __future__ import annotations

from collections.abc import Callable

from sqlalchemy import Connection

from eventbus.event import Event
from eventbus.log import head
from eventbus.log.commit import GroupCommit
from eventbus.log.subscribers import Pause, Subscriber, Subscribers
from eventbus.log.unit import Unit
from eventbus.patterns import Pattern


class SubscriptionChanges:
    """Any thread may call it; every method blocks for a commit and raises LogWriteError."""

    def __init__(
        self,
        subscribers: Subscribers,
        commit: GroupCommit,
        last_sequence: Callable[[], int],
        channel: str,
    ) -> None:
        """``last_sequence`` is of the writer, inside its transaction; ``channel`` is the log's."""
        self._subscribers = subscribers
        self._commit = commit
        self._last_sequence = last_sequence
        self._channel = channel

    def save(self, name: str, pattern: Pattern) -> Subscriber:
        """Store a durable subscription; every event recorded from now on is matched with it."""
        saved: list[Subscriber] = []

        def save(conn: Connection) -> None:
            known = self._subscribers.get(name)
            subscriber = self._subscribers.save(conn, name, pattern, self._last_sequence())
            saved[:] = [subscriber]
            if subscriber != known:
                self._tell(conn)

        self._commit.commit(Unit(call=save, token=lambda: self._subscribers.saved(saved[0])))
        return saved[0]

    def remove(self, name: str) -> None:
        """End a durable subscription and cancel what it had not finished."""

        def remove(conn: Connection) -> None:
            self._subscribers.remove(conn, name)
            self._tell(conn)

        self._commit.commit(Unit(call=remove, token=lambda: self._subscribers.removed(name)))

    def pause(self, name: str, pause: Pause | None, event: Event) -> bool:
        """Store that a durable subscription is paused, or with None that it is no more.

        ``event``, which tells of it, is recorded with that. Returns whether anything changed.
        Raises SubscriptionError for an unknown name.
        """
        changed: list[Subscriber] = []

        def change(conn: Connection) -> None:
            found = self._subscribers.pause(conn, name, pause)
            changed[:] = [] if found is None else [found]
            if found is None:
                unit.events.clear()
            else:
                self._tell(conn)

        def take_effect() -> None:
            for subscriber in changed:
                self._subscribers.saved(subscriber)

        unit = Unit([event], call=change, token=take_effect)
        self._commit.commit(unit)
        return bool(changed)

    def _tell(self, conn: Connection) -> None:
        if self._channel:
            head.subscriptions_changed(conn, self._channel)
