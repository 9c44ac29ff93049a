"""A scheduled event: one that is to be recorded later, and how late is meant."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

from eventbus.errors import EventValidationError, FieldError
from eventbus.event import Event
from eventbus.timestamps import format_time, from_microseconds, parse_time, to_microseconds
from eventbus.validation import MAX_EVENT_BYTES, shown

MAX_DELAY = timedelta(days=3_653)
"""Ten years; what is meant to be later than that is a mistake in a unit."""

_MICROSECOND = timedelta(microseconds=1)
_DECIMAL = re.compile(r"\d{1,12}(\.\d{1,9})?")
_BOUND = f"at most {MAX_DELAY.days} days from now"


class ScheduledEvent(Event):
    """An event that is recorded when it is due, not before: ``delay`` after the bus has taken it,
    or ``at`` a time.

    ``at`` (an aware datetime in UTC) is None as long as a ``delay`` does not count yet. Over HTTP
    both are extension attributes of the CloudEvent, ``delay`` in seconds and ``at`` as an RFC 3339
    timestamp; the recorded event has neither. ``is_timed``: the publisher gave it a ``time``; else
    its time is when it is due.
    """

    __slots__ = ("at", "delay", "is_timed")

    at: datetime | None
    delay: timedelta | None
    is_timed: bool

    @classmethod
    def of(
        cls,
        event: Event,
        *,
        delay: Any = None,
        at: Any = None,
        is_timed: bool = True,
        now: datetime | None = None,
    ) -> ScheduledEvent:
        """``event``, later. Raises EventValidationError for a delay or a time out of bounds.

        ``delay`` is seconds (a number, or its decimal text) or a timedelta, ``at`` an aware
        datetime or RFC 3339 text; one of the two. ``now`` is what bounds are counted from.
        """
        errors: list[FieldError] = []
        if delay is not None and at is not None:
            errors.append(FieldError("/at", "must not stand beside delay: one of the two"))
        span = None if delay is None else _checked_delay(delay, errors)
        moment = None if at is None else _checked_at(at, now or datetime.now(UTC), errors)
        if errors:
            raise EventValidationError(errors)
        return cls._make(event, moment, span, is_timed)

    @classmethod
    def due(cls, event: Event, due_us: int) -> ScheduledEvent:
        """``event`` as the schedule keeps it, due at a time in microseconds since the epoch."""
        return cls._make(event, from_microseconds(due_us), None, True)

    @classmethod
    def _make(
        cls, event: Event, at: datetime | None, delay: timedelta | None, is_timed: bool
    ) -> ScheduledEvent:
        new = cls(
            event.id, event.source, event.type, event.subject, event.time, event.data_json,
            correlationid=event.correlationid, causationid=event.causationid,
            traceparent=event.traceparent, dataschema=event.dataschema, depth=event.depth,
            extensions_json=event.extensions_json, is_new=event.is_new,
        )  # fmt: skip
        put = object.__setattr__
        put(new, "at", at)
        put(new, "delay", delay)
        put(new, "is_timed", is_timed)
        return new

    def due_us(self, now_us: int) -> int:
        """When it is due, in microseconds since the epoch, for a bus that takes it ``now_us``."""
        if self.at is not None:
            return to_microseconds(self.at)
        return now_us + (self.delay or timedelta()) // _MICROSECOND

    def plain(self, **changes: Any) -> Event:
        """The event itself, with some attributes changed."""
        values: dict[str, Any] = {
            name: getattr(self, name) for name in Event.__slots__ if name != "_data"
        }
        return Event(**{**values, **changes})

    def to_dict(self) -> dict[str, Any]:
        return {**super().to_dict(), **self._when()}

    def to_json(self) -> str:
        ((name, value),) = self._when().items()
        shown_value = value if isinstance(value, int) else f'"{value}"'
        return f'{super().to_json()[:-1]},"{name}":{shown_value}}}'

    def _when(self) -> dict[str, Any]:
        if self.at is not None:
            return {"at": format_time(self.at)}
        # CloudEvents 1.0.2 §"Type System" has whole numbers and text, but no fractions.
        microseconds = (self.delay or timedelta()) // _MICROSECOND
        whole, rest = divmod(microseconds, 1_000_000)
        return {"delay": f"{whole}.{rest:06d}" if rest else whole}


def read_event(
    value: Any,
    *,
    source: str | None = None,
    max_bytes: int = MAX_EVENT_BYTES,
    now: Callable[[], datetime] | None = None,
) -> Event:
    """As ``Event.from_dict``, for objects that may also have ``delay`` or ``at``."""
    if not isinstance(value, Mapping) or ("at" not in value and "delay" not in value):
        return Event.from_dict(value, source=source, max_bytes=max_bytes, now=now)
    rest = {name: item for name, item in value.items() if name not in ("at", "delay")}
    at, delay = value.get("at"), value.get("delay")
    errors: list[FieldError] = []
    event: Event | None = None
    try:
        event = Event.from_dict(rest, source=source, max_bytes=max_bytes, now=now)
    except EventValidationError as error:
        errors += error.errors
    if at is None and delay is None and event is not None:
        return event
    try:
        scheduled = ScheduledEvent.of(
            event or _ANY,
            delay=delay,
            at=at,
            is_timed=rest.get("time") is not None,
            now=None if now is None else now(),
        )
    except EventValidationError as error:
        errors += error.errors
    if errors:
        raise EventValidationError(errors)
    return scheduled


def read_events(
    values: Iterable[Event | Mapping[str, Any]],
    *,
    source: str,
    max_bytes: int,
    now: Callable[[], datetime] | None,
    check: Callable[[Event], None] | None = None,
) -> list[Event]:
    """Events as they are and mappings read as by ``read_event``, each given to ``check``.

    Raises EventValidationError with the index of each wrong one at the head of its pointers.
    """
    read: list[Event] = []
    errors: list[FieldError] = []
    for index, value in enumerate(values):
        try:
            event = (
                value
                if isinstance(value, Event)
                else read_event(value, source=source, max_bytes=max_bytes, now=now)
            )
            if check is not None:
                check(event)
            read.append(event)
        except EventValidationError as error:
            errors += error.under(f"/{index}").errors
    if errors:
        raise EventValidationError(errors)
    return read


def _checked_delay(value: Any, errors: list[FieldError]) -> timedelta:
    problem = "must be seconds from 0"
    try:
        if isinstance(value, timedelta):
            delay = value
        elif isinstance(value, bool) or not isinstance(value, int | float | str):
            raise ValueError
        elif isinstance(value, str):
            if not _DECIMAL.fullmatch(value):
                raise ValueError
            delay = timedelta(seconds=float(value))
        else:
            delay = timedelta(seconds=value)  # ValueError for NaN, OverflowError for infinity
        if delay < timedelta():
            raise ValueError
        if delay <= MAX_DELAY:
            return delay
        problem += f", {_BOUND}"
    except OverflowError:
        problem += f", {_BOUND}"
    except ValueError:
        pass
    errors.append(FieldError("/delay", f"{problem}, not {shown(value)}"))
    return timedelta()


def _checked_at(value: Any, now: datetime, errors: list[FieldError]) -> datetime:
    try:
        if isinstance(value, datetime):
            if value.tzinfo is None:
                raise ValueError(f"must have a time zone, {value.isoformat()} has none")
            moment = value.astimezone(UTC)
        elif isinstance(value, str):
            moment = parse_time(value)
        else:
            raise ValueError("must be an RFC 3339 date-time")
        if moment - now > MAX_DELAY:
            raise ValueError(f"must be {_BOUND}")
        return moment
    except (ValueError, OverflowError) as error:
        errors.append(FieldError("/at", f"{error}; given was {shown(value)}"))
        return now


_ANY = Event("", "", "", "", datetime(1970, 1, 1, tzinfo=UTC), "{}")
