"""Follows what other processes commit to the same log, and hands it on in this one."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from typing import Any, Protocol

from sqlalchemy import select
from sqlalchemy.exc import SQLAlchemyError

from eventbus.errors import EventBusError
from eventbus.log import head, schema
from eventbus.log.postgresql import PostgresqlDatabase
from eventbus.log.rows import MOST_CHARS, whole_event_from_row
from eventbus.log.storage import driver_error
from eventbus.log.writer import Deliveries
from eventbus.threads import start_thread

logger = logging.getLogger("eventbus.log")

_events, _deliveries = schema.events, schema.deliveries
_PAGE = 1_000
# How soon a commit without events is noticed, and any commit when a notification was lost.
_LOOK_S = 0.2
_RETRY_S = 1.0
_CATCH_UP_S = 5.0
_START_S = 2.0


class Followed(Protocol):
    """The log as its follower sees it."""

    def followed(self, recorded: Deliveries) -> None:
        """Take what others have recorded, in order."""

    def changed_elsewhere(self, topics: set[str]) -> None:
        """Take note that another process has committed something, of these topics if of any."""


class Follower:
    """One thread, "eventbus-follower", with a connection of its own that listens.

    Nothing depends on a notification: whatever it missed is found at the next look.
    """

    def __init__(
        self, database: PostgresqlDatabase, log: Followed, last_sequence: Callable[[], int]
    ) -> None:
        """``last_sequence`` is the newest that was handed on."""
        self._database = database
        self._log = log
        self._last_sequence = last_sequence
        self._position = 0
        self._changes: int | None = None  # of subscriptions
        self._owes_look = False
        self._closing = threading.Event()
        self._is_told = threading.Event()
        self._is_listening = threading.Event()  # once it was, from then on
        self._thread = threading.Thread(target=self._run, name="eventbus-follower", daemon=True)

    def start(self) -> None:
        """Returns when it listens, unless that takes long. Raises NoThreadError."""
        start_thread(self._thread)
        self._is_listening.wait(_START_S)

    def close(self) -> None:
        """End the thread; waits for its present look."""
        self._closing.set()
        if self._thread.is_alive():
            self._thread.join(2 * _RETRY_S)

    def hurry(self) -> None:
        """Look soon: something was left to the follower."""
        self._is_told.set()

    def catch_up(self, sequence: int) -> bool:
        """Whether a sequence is recorded; blocks until what is up to it was handed on here.

        Raises LogReadError.
        """
        with self._database.reading() as conn:
            if head.last_sequence(conn) < sequence:
                return False
        self.hurry()
        deadline = time.monotonic() + _CATCH_UP_S
        while self._last_sequence() < sequence and time.monotonic() < deadline:
            time.sleep(_LOOK_S / 20)
        return self._last_sequence() >= sequence

    def missing(self, after: int, upto: int) -> Deliveries:
        """What was recorded of ``after < sequence <= upto``, ascending, with its subscriptions.

        Stops short of ``upto`` after a page, or where payloads are large. Raises LogReadError.
        """
        found: Deliveries = []
        chars = 0
        with self._database.reading() as conn:
            rows = conn.execute(
                select(_events)
                .where(_events.c.sequence > after, _events.c.sequence <= upto)
                .order_by(_events.c.sequence)
                .limit(_PAGE)
            )
            events = []
            for row in rows:
                events.append(whole_event_from_row(row))
                chars += len(row.data)
                if chars > MOST_CHARS:
                    break
            if not events:
                return found
            end = events[-1].sequence or 0
            gets: dict[int, list[int]] = {}
            for sequence, subscription in conn.execute(  # primary key
                select(_deliveries.c.sequence, _deliveries.c.subscription).where(
                    _deliveries.c.sequence > after, _deliveries.c.sequence <= end
                )
            ):
                gets.setdefault(sequence, []).append(subscription)
        return [(event, tuple(gets.get(event.sequence or 0, ()))) for event in events]

    def _run(self) -> None:
        while not self._closing.is_set():
            try:
                with self._database.connect() as driver:
                    driver.execute(f"LISTEN {self._database.channel}")
                    is_first = not self._is_listening.is_set()
                    self._is_listening.set()
                    self._look(set())  # at all that came while nobody listened
                    self._log.changed_elsewhere(
                        {head.SUBSCRIPTIONS} if is_first else {head.SUBSCRIPTIONS, head.MISSED}
                    )
                    while not self._closing.is_set():
                        self._look(self._wait(driver))
            except Exception as error:
                is_known = isinstance(error, SQLAlchemyError | EventBusError)
                if not is_known and driver_error(error) is None:
                    logger.exception("following the log failed")
                elif not self._closing.is_set():
                    logger.warning("cannot follow the log, trying again: %s", error)
                self._closing.wait(_RETRY_S)

    def _wait(self, driver: Any) -> set[str]:
        """The topics of what was told until now, or within the time to the next look."""
        topics: set[str] = set()
        if self._is_told.is_set():
            self._is_told.clear()
            return topics
        for notification in driver.notifies(timeout=_LOOK_S, stop_after=1):
            topics.add(notification.payload)
        for notification in driver.notifies(timeout=0):
            topics.add(notification.payload)
        return topics

    def _look(self, topics: set[str]) -> None:
        with self._database.reading() as conn:
            newest, changes = head.seen(conn)
            position = head.position(conn)
        # First: what came after a pause waits for its end. That of it may be told only later.
        if head.SUBSCRIPTIONS in topics or changes != self._changes:
            self._changes = changes
            self._log.changed_elsewhere({head.SUBSCRIPTIONS})
        while (last := self._last_sequence()) < newest:
            recorded = self.missing(last, newest)
            if not recorded:
                break  # retention was quicker
            self._log.followed(recorded)
        topics = topics - {head.SUBSCRIPTIONS, head.EVENTS}
        is_news = position != self._position
        # A commit may be on disk and not be seen yet. So its topic may come when the position is
        # known already, and after news there is always one more look.
        if is_news or topics or self._owes_look:
            self._owes_look, self._position = is_news, position
            self._log.changed_elsewhere(topics)
