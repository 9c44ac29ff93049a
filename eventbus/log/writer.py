"""What one transaction writes: events, their delivery rows, deliveries' outcomes, state changes."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable

from sqlalchemy import Connection, bindparam, insert, literal_column, select, update
from sqlalchemy.exc import IntegrityError

from eventbus.clock import SYSTEM_CLOCK, Clock
from eventbus.errors import EffectError
from eventbus.event import Event
from eventbus.log import schema
from eventbus.log.prepared import Prepared
from eventbus.log.rows import event_from_row
from eventbus.log.storage import write_failure
from eventbus.log.unit import Apply, Outcome, Unit
from eventbus.timestamps import to_microseconds

logger = logging.getLogger("eventbus.log")

Deliveries = list[tuple[Event, tuple[int, ...]]]
"""Recorded events in sequence order, each with the ids of the subscriptions that get it."""

_events, _deliveries, _attempts = schema.events, schema.deliveries, schema.attempts
_INSERT_EVENT = Prepared(insert(_events))
_INSERT_DELIVERY = Prepared(insert(_deliveries), "sequence", "subscription", "state", "attempt")
# Numbered through all rounds of a delivery, which begin to count anew when it is redriven.
_INSERT_ATTEMPT = Prepared(
    insert(_attempts)
    .inline()
    .values(
        number=select(literal_column("coalesce(max(number), 0) + 1"))
        .where(
            _attempts.c.sequence == bindparam("of_sequence"),
            _attempts.c.subscription == bindparam("of_subscription"),
        )
        .scalar_subquery()
    ),
    *[column.name for column in _attempts.c if column.name != "number"],
)
_UPDATE_DELIVERY = Prepared(
    update(_deliveries)
    .where(
        _deliveries.c.sequence == bindparam("of_sequence"),
        _deliveries.c.subscription == bindparam("of_subscription"),
        # Unsubscribed while it ran: it must not come back as one to be retried.
        _deliveries.c.state != literal_column("'cancelled'"),
    )
    .values({
        name: bindparam(f"new_{name}")
        for name in ("state", "attempt", "due_us", "finished_us", "duration_us", "error_class",
                     "error_message")
    })
)  # fmt: skip
_ID_LOOKUP = 500


class Writer:
    """Writes batches of units on the one writing connection; its caller holds the commit lock."""

    def __init__(
        self,
        conn: Connection,
        last_sequence: int,
        match: Callable[[str], tuple[int, ...]],
        after_commit: Callable[[Deliveries, list[Unit]], None],
    ) -> None:
        self._conn = conn
        self._match = match
        self._after_commit = after_commit
        self.last_sequence = last_sequence
        self.clock: Clock = SYSTEM_CLOCK

    def write(self, batch: list[Unit]) -> None:
        """Commit the units in one transaction; never raises, each unit bears its own error.

        When a unit's content is at fault (a state change that breaks), the others are committed
        without it. When the storage is at fault, none is, and all fail with LogWriteError.
        """
        try:
            try:
                recorded = self._transaction(batch)
            except IntegrityError:
                # Most likely somebody published the same new event object twice: look up all ids.
                recorded = self._transaction(batch, is_suspicious=True)
        except BaseException as raised:
            # SystemExit of a state change's function is a fault of that change, like any other.
            error: Exception = (
                raised if isinstance(raised, Exception)
                else EffectError(f"a state change raised {raised!r}")
            )  # fmt: skip
            failure = write_failure(error)
            if len(batch) > 1 and (failure is None or isinstance(error, MemoryError)):
                # By halves: the others are soon found, however many they are.
                half = len(batch) // 2
                self.write(batch[:half])
                self.write(batch[half:])
                return
            for unit in batch:
                unit.error = failure or error
            logger.error("nothing of %d units was recorded: %s", len(batch), failure or error)
            recorded = []
        self._after_commit(recorded, batch)

    def _transaction(self, batch: list[Unit], is_suspicious: bool = False) -> Deliveries:
        before = self.last_sequence
        given = [list(unit.events) for unit in batch]
        recorded: Deliveries = []
        try:
            with self._conn.begin():
                # Before the events are looked at: a call may give its unit events to record, as
                # that for what is due does (log/schedules.py), also to one that had none.
                for unit in batch:
                    if unit.call is not None:
                        unit.call(self._conn)
                self._append(batch, recorded, is_suspicious)
                self._finish([unit.outcome for unit in batch if unit.outcome is not None])
                self._change(batch)
        except BaseException:
            self._conn.connection.rollback()  # when COMMIT itself fails the transaction stays open
            self.last_sequence = before
            for unit, events in zip(batch, given, strict=True):
                unit.events = events
                unit.duplicates.clear()
            raise
        return recorded

    def _append(self, batch: list[Unit], recorded: Deliveries, is_suspicious: bool) -> None:
        now_us = self.clock.time_ns() // 1_000
        known = self._known(batch, is_suspicious)
        event_rows = []
        delivery_rows = []
        for unit in batch:
            for index, event in enumerate(unit.events):
                key = (event.id, event.source)
                if (first := known.get(key)) is not None:
                    unit.events[index] = first
                    unit.duplicates.add(index)
                    continue
                self.last_sequence += 1
                # A copy: the publisher's own object stays unrecorded if the transaction fails.
                event = event.copy(self.last_sequence)
                unit.events[index] = known[key] = event
                event_rows.append(_event_row(event, now_us))
                subscribers = self._match(event.type)
                for subscription in subscribers:
                    delivery_rows.append((self.last_sequence, subscription, "pending", 0))
                recorded.append((event, subscribers))
        _INSERT_EVENT.run(self._conn, event_rows)
        _INSERT_DELIVERY.run(self._conn, delivery_rows)

    def _known(self, batch: list[Unit], is_suspicious: bool) -> dict[tuple[str, str], Event]:
        """The events that are in the log already, among those that could be."""
        wanted = {
            event.id for unit in batch for event in unit.events if is_suspicious or not event.is_new
        }
        if not wanted:
            return {}
        ids = list(wanted)
        found: dict[tuple[str, str], Event] = {}
        for start in range(0, len(ids), _ID_LOOKUP):
            # uq_events_id_source serves it
            rows = self._conn.execute(
                select(_events).where(_events.c.id.in_(ids[start : start + _ID_LOOKUP]))
            )
            for row in rows:
                found[(row.id, row.source)] = event_from_row(row)
        return found

    def _finish(self, outcomes: list[Outcome]) -> None:
        _UPDATE_DELIVERY.run(self._conn, [
            (
                o.state, o.attempt, o.due_us, o.finished_us, o.finished_us - o.started_us,
                o.error_class, o.error_message, o.sequence, o.subscription,
            )
            for o in outcomes
        ])  # fmt: skip
        _INSERT_ATTEMPT.run(self._conn, [
            (
                o.sequence, o.subscription, o.sequence, o.subscription, o.started_us,
                o.finished_us - o.started_us, o.kind, o.error_class, o.error_message, o.traceback,
            )
            for o in outcomes
            if o.kind != "succeeded"
        ])  # fmt: skip

    def _change(self, batch: Iterable[Unit]) -> None:
        groups: dict[Apply, list[object]] = {}
        for unit in batch:
            for apply, params in unit.effects:
                groups.setdefault(apply, []).append(params)
        for apply, params_list in groups.items():
            apply(self._conn, params_list)


def _event_row(event: Event, now_us: int) -> tuple[object, ...]:
    return (
        event.sequence,
        event.id,
        event.source,
        event.type,
        event.subject,
        to_microseconds(event.time),
        now_us,
        event.correlationid,
        event.causationid,
        event.traceparent,
        event.dataschema,
        event.depth,
        event.data_json,
    )
