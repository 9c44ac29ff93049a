"""The bus that handlers see in a dry run: what they ask of it is noted, and nothing is done."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from eventbus.effects import Effects
from eventbus.errors import EffectError
from eventbus.event import Event
from eventbus.log.eventlog import EventLog
from eventbus.log.migrations import Migration
from eventbus.log.overlay import Overlay
from eventbus.log.unit import Apply
from eventbus.scheduled import ScheduledEvent, read_events
from eventbus.subscription import Handler
from eventbus.timestamps import from_microseconds, to_microseconds
from eventbus.validation import MAX_EVENT_BYTES

Check = Callable[[Event], None]


@dataclass(slots=True)
class Wishes:
    """What one handler has asked for while it ran, beside what its effects hold."""

    effects: Effects
    scheduled: list[tuple[Event, datetime]]
    cancelled: list[str]


class DryRunBus:
    """Looks like an EventBus to handlers that are made for it; for one thread."""

    def __init__(
        self, source: EventLog, overlay: Overlay, source_name: str, check: Check | None = None
    ) -> None:
        """``check`` is what a real bus has every event checked by; it raises."""
        self._source_name = source_name
        self._check = check
        self.handlers: dict[str, Handler] = {}
        """By subscription."""
        self.wishes: Wishes | None = None
        """Of the handler that runs now."""
        self.log = _OverlayLog(source, overlay)

    def begin(self, event: Event, subscription: str) -> Wishes:
        """The next handler runs from here on."""
        self.wishes = Wishes(Effects(event, subscription, self.log), [], [])
        return self.wishes

    # -- what handlers see -------------------------------------------------------------------

    def subscribe(self, pattern: str, handler: Handler, *, name: str, **_: Any) -> None:
        """Have ``handler`` run for the events that the log has its subscription's pattern for."""
        self.handlers[name] = handler

    def on(self, pattern: str, **options: Any) -> Callable[[Handler], Handler]:
        """``subscribe`` as a decorator."""

        def decorate(handler: Handler) -> Handler:
            self.subscribe(pattern, handler, **options)
            return handler

        return decorate

    def publish(
        self,
        type: str,
        data: Mapping[str, Any] | None = None,
        *,
        delay: float | timedelta | None = None,
        at: datetime | str | None = None,
        **attributes: Any,
    ) -> _Noted:
        """Check the event as live, and note it."""
        wishes = self._wishes()
        if delay is None and at is None:
            return _Noted([wishes.effects.publish(type, data, self._check, **attributes)])
        attributes["source"] = attributes.get("source") or wishes.effects.source
        event = Event.create(type, data, **attributes)
        is_timed = attributes.get("time") is not None
        later = ScheduledEvent.of(event, delay=delay, at=at, is_timed=is_timed, now=self.now())
        return self.publish_many([later])

    def publish_event(self, event: Event) -> _Noted:
        """As ``publish``, for an event that is made."""
        return self.publish_many([event])

    def publish_many(self, events: Iterable[Event | Mapping[str, Any]]) -> _Noted:
        """As ``publish``, for several."""
        wishes = self._wishes()
        checked = read_events(events, source=self._source_name, max_bytes=MAX_EVENT_BYTES, now=None,
                              check=self._check)  # fmt: skip
        return _Noted([self._note(wishes, event) for event in checked])

    def cancel(self, id: str, *, source: str | None = None, by: str | None = None) -> _Noted:
        """Note that it would be taken back."""
        wishes = self._wishes()
        wishes.effects.check_open()
        wishes.cancelled.append(id)
        return _Noted([])

    def now(self) -> datetime:
        """The time, in UTC."""
        return datetime.now(UTC)

    def effect(self, apply: Apply, params: Any) -> None:
        """Apply a state change to the overlay when the handler has returned."""
        self._wishes().effects.change(apply, params)

    def _note(self, wishes: Wishes, event: Event) -> Event:
        if not isinstance(event, ScheduledEvent):
            return wishes.effects.add(event)
        now_us = to_microseconds(self.now())
        due_us = event.due_us(now_us)
        if due_us <= now_us:
            return wishes.effects.add(event.plain())
        due = from_microseconds(due_us)
        changes = {} if event.is_timed else {"time": due}
        later = wishes.effects.adopt_later(event.plain(**changes))
        wishes.scheduled.append((later, due))
        return later

    def _wishes(self) -> Wishes:
        if self.wishes is None:
            raise EffectError("in a dry run only handlers ask for something")
        return self.wishes


class _OverlayLog:
    """The part of the log that read models use, on the overlay."""

    def __init__(self, source: EventLog, overlay: Overlay) -> None:
        self._source = source
        self._overlay = overlay

    @contextmanager
    def reading(self) -> Iterator[Any]:
        yield self._overlay.conn

    def settle(self) -> None:
        """Nothing: each handler's changes are applied before the next one runs."""

    def migrate(self, component: str, migrations: Sequence[Migration]) -> None:
        """Nothing: the tables are there, or the dry run has been refused."""

    def delivery_counts(self) -> dict[str, int]:
        return self._source.delivery_counts()


class _Noted:
    """The receipt of what is not recorded."""

    def __init__(self, events: list[Event]) -> None:
        self.events = events
        self.event = events[0] if events else None

    def __await__(self) -> Iterator[Any]:
        return iter(())
