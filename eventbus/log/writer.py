"""What one transaction writes: events, their delivery rows, deliveries' outcomes, state changes."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterable
from typing import Any

from sqlalchemy import Connection, select

from eventbus.clock import SYSTEM_CLOCK, Clock
from eventbus.errors import DeliveryTakenError, EffectError, EventBusError, LogWriteError
from eventbus.event import Event
from eventbus.log import head, schema
from eventbus.log.database import Database
from eventbus.log.dead_letters import Tally
from eventbus.log.doubt import was_committed
from eventbus.log.prepared import ManyRows, insert_rows, update_rows
from eventbus.log.rows import whole_event_from_row
from eventbus.log.storage import driver_error, storage_code, write_failure
from eventbus.log.subscribers import Subscribers
from eventbus.log.unit import Apply, Unit
from eventbus.timestamps import to_microseconds

logger = logging.getLogger("eventbus.log")

Deliveries = list[tuple[Event, tuple[int, ...]]]
"""Recorded events in sequence order, each with the ids of the subscriptions that get it."""

_events, _deliveries, _attempts = schema.events, schema.deliveries, schema.attempts
_INSERT_EVENT = insert_rows(_events)
_INSERT_DELIVERY = insert_rows(_deliveries, "sequence", "subscription", "state", "attempt")
# Numbered through all rounds of a delivery, which begin to count anew when it is redriven.
_INSERT_ATTEMPT = ManyRows(
    lambda rows: (
        "INSERT INTO attempts (sequence, subscription, number, started_us, duration_us, outcome, "
        "error_class, error_message, traceback) SELECT column1, column2, (SELECT "
        "coalesce(max(number), 0) + 1 FROM attempts WHERE sequence = given.column1 AND "
        "subscription = given.column2), column3, column4, column5, column6, column7, column8 "
        f"FROM (VALUES {rows}) AS given"
    ),
    ("BIGINT", "INTEGER", "BIGINT", "BIGINT", "TEXT", "TEXT", "TEXT", "TEXT"),
)
_KEY = ("sequence", "subscription")
# Not one that was unsubscribed while it ran, nor one that another process has finished since.
_UNFINISHED = "deliveries.state IN ('pending', 'retrying')"
# The first that ends counts, also of an attempt that was taken for cut off meanwhile: its number
# follows those that are counted.
_SUCCEED = update_rows(
    _deliveries, ("finished_us", "duration_us"), _KEY, only=_UNFINISHED,
    fixed="state = 'succeeded', attempt = deliveries.attempt + 1, due_us = NULL, "
    "error_class = NULL, error_message = NULL",
)  # fmt: skip
_FAIL = update_rows(
    _deliveries,
    ("state", "attempt", "due_us", "finished_us", "duration_us", "error_class", "error_message"),
    _KEY,
    only=f"{_UNFINISHED} AND deliveries.attempt = given.column2 - 1",  # each is counted once
)
_ID_LOOKUP = 500
_STUCK = "25P03"  # the server ended a transaction in which nothing was done for long
# After two transactions met the wrong way round, for so long all with effects go one by one.
_ONE_BY_ONE_S = 60.0
_MOST_TRIES = 5  # of a transaction that met another process's the wrong way round


class Writer:
    """Writes batches of units on the writing connection; its caller holds the commit lock."""

    def __init__(
        self,
        database: Database,
        last_sequence: int,
        subscribers: Subscribers,
        after_commit: Callable[[Deliveries, list[Unit]], None],
    ) -> None:
        self._database = database
        self._conn = database.writer
        self._subscribers = subscribers
        self._after_commit = after_commit
        self.last_sequence = last_sequence
        self.clock: Clock = SYSTEM_CLOCK
        self._owed: list[Unit] = []
        self._one_by_one_until = 0.0  # by the monotonic clock

    def write(self, batch: list[Unit]) -> None:
        """Commit the units in one transaction; never raises, each unit bears its own error.

        When a unit's content is at fault (a state change that breaks), the others are committed
        without it. When the storage is at fault, none is, and all fail with LogWriteError.

        Successes that fail so are owed: whichever transaction comes next has them too. The next
        delivery of their key did not wait for them, and must not be recorded without them.
        """
        if self._owed:
            batch = [*self._owed, *batch]
            self._owed = []
        try:
            try:
                recorded = self._patiently(batch)
            except Exception as first:
                if not _is_integrity(first):
                    raise
                # Most likely somebody published the same new event object twice: look up all ids.
                recorded = self._transaction(batch, is_suspicious=True)
        except BaseException as raised:
            # SystemExit of a state change's function is a fault of that change, like any other.
            error: Exception = (
                raised if isinstance(raised, Exception)
                else EffectError(f"a state change raised {raised!r}")
            )  # fmt: skip
            failure = error if isinstance(error, LogWriteError) else write_failure(error)
            if len(batch) > 1 and (failure is None or isinstance(error, MemoryError)):
                # By halves: the others are soon found, however many they are.
                half = len(batch) // 2
                self.write(batch[:half])
                self.write(batch[half:])
                return
            for unit in batch:
                unit.error = failure or error
            self._owed += [
                Unit(successes=unit.successes, token=unit.token)
                for unit in batch
                if unit.has_only_successes
            ]
            # What one of our own rules refuses is its caller's to tell.
            is_ours = failure is None and isinstance(error, EventBusError)
            level = logging.INFO if is_ours else logging.ERROR
            logger.log(level, "nothing of %d units was recorded: %s", len(batch), failure or error)
            recorded = []
        self._after_commit(recorded, batch)

    def alone(self, function: Callable[[Connection], None]) -> None:
        """Run ``function`` in a transaction of its own, beside which nobody writes."""
        try:
            with self._conn.begin():
                if self._database.channel:
                    self._take_head()
                    head.lock_deliveries(self._conn)
                function(self._conn)
        except BaseException:
            self._database.roll_back()  # when COMMIT fails the transaction stays open
            raise

    def _patiently(self, batch: list[Unit]) -> Deliveries:
        """The transaction, again when the database has ended it so that another could go on.

        Once also on a new connection when the old one was lost, as it is when the server was
        restarted meanwhile. Should it have been lost after the commit, that is noticed: events are
        found by their ids, and deliveries finish once.
        """
        is_renewed = False
        for _ in range(_MOST_TRIES - 1):
            try:
                return self._transaction(batch)
            except Exception as error:
                code = storage_code(error) or ""
                is_gone = code[:2] in ("08", "57") or code == _STUCK
                is_lost = bool(self._database.channel) and is_gone
                if code not in ("40P01", "40001") and (is_renewed or not is_lost):
                    raise  # neither deadlock nor not serializable
                is_renewed = is_renewed or is_lost
                if not is_lost:
                    self._one_by_one_until = time.monotonic() + _ONE_BY_ONE_S
        return self._transaction(batch)

    def _transaction(self, batch: list[Unit], is_suspicious: bool = False) -> Deliveries:
        before = self.last_sequence
        given = [list(unit.events) for unit in batch]
        recorded: Deliveries = []
        committing: str | None = None  # the transaction whose COMMIT has begun
        try:
            is_shared = bool(self._database.channel)
            if is_shared or any(map(_needs_connection, batch)) or is_suspicious:
                with self._conn.begin():
                    transaction = None
                    if is_shared and any(map(self._needs_head, batch)):
                        transaction = self._take_head()
                    first = self.last_sequence
                    # Before the events are looked at: a call may give its unit events to record,
                    # as that for what is due does (log/schedules.py), also to one that had none.
                    for unit in batch:
                        if unit.call is not None:
                            unit.call(self._conn)
                    self._append(batch, recorded, is_suspicious)
                    self._finish(batch)
                    self._change(batch)
                    if is_shared and self.last_sequence != first:
                        head.move(self._conn, self.last_sequence, self._database.channel)
                    for topic in {unit.topic for unit in batch if is_shared and unit.topic}:
                        head.tell(self._conn, self._database.channel, topic)
                    committing = transaction
            else:
                # Most commits. Past SQLAlchemy, whose begin and commit cost half as much as the
                # disk takes for a single event.
                driver: Any = self._conn.connection.driver_connection
                driver.execute("BEGIN IMMEDIATE")  # only SQLite comes here
                self._append(batch, recorded, is_suspicious)
                self._finish(batch)
                self._conn.connection.commit()
        except BaseException as error:
            self._database.roll_back()  # when COMMIT itself fails the transaction stays open
            try:
                if committing is not None and was_committed(self._conn, committing, error):
                    return recorded
            except LogWriteError:
                self._take_back(batch, given, before)
                raise
            self._take_back(batch, given, before)
            raise
        return recorded

    def _needs_head(self, unit: Unit) -> bool:
        if unit.events or unit.call:
            return True
        return bool(unit.effects) and time.monotonic() < self._one_by_one_until

    def _take_head(self) -> str:
        """Be the only process that records, until the end of the transaction; know what is.

        Returns the transaction's number.
        """
        found = head.lock(self._conn)
        self.last_sequence = found.last_sequence
        if found.subscriptions != self._subscribers.version:
            self._subscribers.read(self._conn, found.subscriptions)
        return found.transaction

    def _take_back(self, batch: list[Unit], given: list[list[Event]], before: int) -> None:
        self.last_sequence = before
        for unit, events in zip(batch, given, strict=True):
            unit.events = events
            unit.duplicates = frozenset()
            if unit.owns_events:
                for event in events:
                    event.record(None)

    def _append(self, batch: list[Unit], recorded: Deliveries, is_suspicious: bool) -> None:
        now_us = self.clock.time_ns() // 1_000
        known = self._known(batch, is_suspicious)
        sequence = self.last_sequence
        event_rows: list[Any] = []
        delivery_rows: list[Any] = []
        for unit in batch:
            events, without = unit.events, unit.without
            for index, event in enumerate(events):
                if known is not None:
                    first = known.get((event.id, event.source))
                    if first is not None:
                        events[index] = first
                        unit.duplicates = unit.duplicates | {index}
                        continue
                sequence += 1
                if unit.owns_events:
                    event.record(sequence)
                else:
                    # A copy: the publisher's own object stays unrecorded if the commit fails.
                    event = events[index] = event.copy(sequence)
                if known is not None:
                    known[(event.id, event.source)] = event
                event_rows += (
                    sequence, event.id, event.source, event.type, event.subject,
                    to_microseconds(event.time), now_us, event.correlationid, event.causationid,
                    event.traceparent, event.dataschema, event.depth, event.data_json,
                    event.extensions_json,
                )  # fmt: skip
                subscribers = self._subscribers.match(event.type)
                if without is not None:
                    subscribers = tuple([key for key in subscribers if key != without])
                for subscription in subscribers:
                    delivery_rows += (sequence, subscription, "pending", 0)
                recorded.append((event, subscribers))
        self.last_sequence = sequence
        _INSERT_EVENT.run_flat(self._conn, event_rows)
        _INSERT_DELIVERY.run_flat(self._conn, delivery_rows)

    def _known(self, batch: list[Unit], is_suspicious: bool) -> dict[tuple[str, str], Event] | None:
        """The events that are in the log already, among those that could be; None if none could.

        Their ids were made with the events then, so no two of the batch have the same either.
        """
        wanted = {
            event.id for unit in batch for event in unit.events if is_suspicious or not event.is_new
        }
        if not wanted:
            return None
        ids = list(wanted)
        found: dict[tuple[str, str], Event] = {}
        for start in range(0, len(ids), _ID_LOOKUP):
            # uq_events_id_source serves it
            rows = self._conn.execute(
                select(_events).where(_events.c.id.in_(ids[start : start + _ID_LOOKUP]))
            )
            for row in rows:
                found[(row.id, row.source)] = whole_event_from_row(row)
        return found

    def _finish(self, batch: list[Unit]) -> None:
        succeeded: list[Any] = []
        effective: list[Any] = []  # with something that must not happen twice
        for unit in batch:
            rows = effective if unit.effects or unit.events else succeeded
            for success in unit.successes:
                rows += success
        _SUCCEED.run_flat(self._conn, succeeded)
        met = _SUCCEED.run_flat(self._conn, effective)
        if self._database.channel and met * _SUCCEED.width != len(effective):
            raise DeliveryTakenError("the delivery was finished, or taken back, elsewhere")
        outcomes = [unit.outcome for unit in batch if unit.outcome is not None]
        if outcomes:
            dead = [(o.sequence, o.subscription) for o in outcomes if o.state == "dead"]
            tally = Tally(self._conn, dead) if dead else None
            rows = [
                value for o in outcomes for value in (
                    o.state, o.attempt, o.due_us, o.finished_us, o.finished_us - o.started_us,
                    o.error_class, o.error_message, o.sequence, o.subscription,
                )
            ]  # fmt: skip
            met = _FAIL.run_flat(self._conn, rows)
            if self._database.channel and met != len(outcomes):
                raise DeliveryTakenError("the attempt was counted, or ended, elsewhere")
            _INSERT_ATTEMPT.run(self._conn, [
                (
                    o.sequence, o.subscription, o.started_us, o.finished_us - o.started_us,
                    o.kind, o.error_class, o.error_message, o.traceback,
                )
                for o in outcomes
            ])  # fmt: skip
            if tally is not None:
                tally.changed()

    def _change(self, batch: Iterable[Unit]) -> None:
        groups: dict[Apply, list[object]] = {}
        for unit in batch:
            for apply, params in unit.effects:
                groups.setdefault(apply, []).append(params)
        for apply, params_list in groups.items():
            apply(self._conn, params_list)


def _needs_connection(unit: Unit) -> bool:
    """Whether writing it takes more than the statements that are prepared here."""
    if unit.call is not None or unit.effects:
        return True
    if unit.outcome is not None and unit.outcome.state == "dead":
        return True
    return any(not event.is_new for event in unit.events)


def _is_integrity(error: Exception) -> bool:
    original = driver_error(error)
    name: str = getattr(original, "sqlite_errorname", None) or ""
    state: str = getattr(original, "sqlstate", None) or ""
    return name.startswith("SQLITE_CONSTRAINT") or state.startswith("23")
