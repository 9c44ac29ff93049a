"""The schedule: events that are to be recorded later, each in the log or here, never in both."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, Row, delete, func, select

from eventbus.errors import ScheduleChangedError
from eventbus.event import Event
from eventbus.log import head, schema
from eventbus.log.cursor import decode_cursor, encode_cursor
from eventbus.log.database import Database
from eventbus.log.prepared import insert_rows
from eventbus.log.rows import event_from_row, whole_event_from_row
from eventbus.log.unit import Unit
from eventbus.scheduled import ScheduledEvent
from eventbus.timestamps import to_microseconds

Key = tuple[str, str]

_scheduled, _events = schema.scheduled, schema.events
_COLUMNS = (
    "due_us", "id", "source", "type", "subject", "time_us", "correlationid", "causationid",
    "traceparent", "dataschema", "depth", "data", "extensions",
)  # fmt: skip
_INSERT = insert_rows(_scheduled, *_COLUMNS)
DUE = "due:"
"""A topic: another process has scheduled something for this time, in microseconds."""
_LOOKUP = 500
# One commit's worth of due events: about 10 ms of writing, so that no publisher waits long.
_MOST_TAKEN = 200
_MOST_TAKEN_CHARS = 4_000_000


class Request:
    """An event that is to be scheduled; after the commit, what became of that.

    ``event`` is then the ScheduledEvent, or what was there before when ``is_duplicate``: another
    schedule, or a recorded event with its sequence.
    """

    __slots__ = ("due_us", "event", "is_duplicate", "wanted")

    def __init__(self, event: Event, due_us: int) -> None:
        self.wanted = event
        self.due_us = due_us
        self.event: Event = ScheduledEvent.due(event, due_us)
        self.is_duplicate = False


@dataclass(frozen=True, slots=True)
class SchedulePage:
    """Scheduled events, the next one due first; ``next`` continues, None at the end."""

    events: list[ScheduledEvent]
    next: str | None


class Schedules:
    """Written inside commits alone; read from any thread."""

    def __init__(self, conn: Connection, database: Database) -> None:
        self._database = database
        with conn.begin():
            self.first_due_us = _first_due_us(conn)
            """When the first of them was due as the log was opened, None for none."""
        self.on_add: Callable[[int], None] = lambda due_us: None
        """Called inside the commit with the earliest due time of what it adds."""

    # -- inside a commit ---------------------------------------------------------------------

    def add(self, conn: Connection, requests: list[Request]) -> None:
        """The state change of publishing later; a source and id that is known adds nothing."""
        known = self._known(conn, [request.wanted.id for request in requests])
        rows = []
        for request in requests:
            event = request.wanted
            found = known.get((event.source, event.id))
            request.is_duplicate = found is not None
            request.event = found or ScheduledEvent.due(event, request.due_us)
            if found is None:
                known[(event.source, event.id)] = request.event
                rows.append((
                    request.due_us, event.id, event.source, event.type, event.subject,
                    to_microseconds(event.time), event.correlationid, event.causationid,
                    event.traceparent, event.dataschema, event.depth, event.data_json,
                    event.extensions_json,
                ))  # fmt: skip
        _INSERT.run(conn, rows)
        if rows:
            first_us = min(row[0] for row in rows)
            self.on_add(first_us)
            if self._database.channel:
                head.tell(conn, self._database.channel, f"{DUE}{first_us}")

    def removing(
        self, id: str, source: str | None, make: Callable[[ScheduledEvent], Event]
    ) -> Unit:
        """A unit that takes schedules away and records what ``make`` tells of each."""
        unit = Unit(call=lambda conn: remove(conn))

        def remove(conn: Connection) -> None:
            rows = conn.execute(_by_id(id, source)).all()
            _delete(conn, rows)
            unit.events[:] = [make(_event(row)) for row in rows]

        return unit

    def drop(self, conn: Connection, keys: list[Key]) -> None:
        """The state change of cancelling in a handler, which has looked that it is there.

        Raises ScheduleChangedError when it is not there any more.
        """
        for source, id in keys:
            found = conn.execute(
                delete(_scheduled).where(_scheduled.c.id == id, _scheduled.c.source == source)
            )
            if found.rowcount != 1:
                raise ScheduleChangedError(
                    f"event {id!r} of {source!r} was recorded or cancelled while the handler ran"
                )

    def _known(self, conn: Connection, ids: Sequence[str]) -> dict[Key, Event]:
        found: dict[Key, Event] = {}
        for start in range(0, len(ids), _LOOKUP):
            some = ids[start : start + _LOOKUP]
            for row in conn.execute(select(_scheduled).where(_scheduled.c.id.in_(some))):
                found[(row.source, row.id)] = _event(row)  # uq_scheduled_id_source
            for row in conn.execute(select(_events).where(_events.c.id.in_(some))):
                found[(row.source, row.id)] = whole_event_from_row(row)  # uq_events_id_source
        return found

    # -- reading -----------------------------------------------------------------------------

    def find(self, id: str, source: str | None = None) -> list[ScheduledEvent]:
        """What is scheduled under an id; several sources may use the same one."""
        with self._database.reading() as conn:
            return [_shown(row) for row in conn.execute(_by_id(id, source))]

    def page(self, limit: int = 50, cursor: str | None = None) -> SchedulePage:
        """What is scheduled, the next one due first. Raises CursorError."""
        query = select(_scheduled).order_by(_scheduled.c.due_us, _scheduled.c.number)
        if cursor is not None:
            due_us, number = decode_cursor(cursor, 2)
            query = query.where(  # ix_scheduled_due, which ends with the number
                (_scheduled.c.due_us > due_us)
                | ((_scheduled.c.due_us == due_us) & (_scheduled.c.number > number))
            )
        with self._database.reading() as conn:
            rows = conn.execute(query.limit(limit + 1)).all()
        last = rows[limit - 1] if len(rows) > limit else None
        next_cursor = None if last is None else encode_cursor(last.due_us, last.number)
        return SchedulePage([_shown(row) for row in rows[:limit]], next_cursor)

    def count(self) -> int:
        """How many events are scheduled."""
        with self._database.reading() as conn:
            return conn.execute(select(func.count()).select_from(_scheduled)).scalar_one()


class Taking(Unit):
    """Records due events; ``next_due_us`` is then when the next one is due, None for none."""

    __slots__ = ("next_due_us", "now_us")

    def __init__(self, now_us: int) -> None:
        super().__init__(call=self._take)
        self.now_us = now_us
        self.next_due_us: int | None = None

    def _take(self, conn: Connection) -> None:
        query = (  # ix_scheduled_due
            select(_scheduled)
            .where(_scheduled.c.due_us <= self.now_us)
            .order_by(_scheduled.c.due_us, _scheduled.c.number)
            .limit(_MOST_TAKEN)
        )
        rows: list[Row[Any]] = []
        size = 0
        with conn.execute(query) as found:
            for row in found:
                if rows and size + len(row.data) > _MOST_TAKEN_CHARS:
                    break
                rows.append(row)
                size += len(row.data)
        _delete(conn, rows)
        self.events = [_event(row).plain() for row in rows]
        self.next_due_us = _first_due_us(conn)


def _first_due_us(conn: Connection) -> int | None:
    first: int | None = conn.execute(select(func.min(_scheduled.c.due_us))).scalar()
    return first


def _by_id(id: str, source: str | None) -> Any:
    query = select(_scheduled).where(_scheduled.c.id == id)  # uq_scheduled_id_source
    return query if source is None else query.where(_scheduled.c.source == source)


def _delete(conn: Connection, rows: Sequence[Row[Any]]) -> None:
    numbers = [row.number for row in rows]
    for start in range(0, len(numbers), _LOOKUP):
        some = numbers[start : start + _LOOKUP]
        conn.execute(delete(_scheduled).where(_scheduled.c.number.in_(some)))  # primary key


def _event(row: Row[Any]) -> ScheduledEvent:
    return ScheduledEvent.due(whole_event_from_row(row, is_recorded=False), row.due_us)


def _shown(row: Row[Any]) -> ScheduledEvent:
    return ScheduledEvent.due(event_from_row(row, is_recorded=False), row.due_us)
