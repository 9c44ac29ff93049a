"""What a handler asks for while it runs: collected here, committed with its delivery or dropped."""

from __future__ import annotations

import logging
from collections.abc import Callable
from contextvars import ContextVar
from typing import Any

from eventbus.errors import EffectError, EventLoopError, RejectError, TooManyEffectsError
from eventbus.event import Event
from eventbus.ids import derived_id
from eventbus.log.unit import Apply
from eventbus.tracing import Attempt, in_trace_of

logger = logging.getLogger("eventbus")

MAX_DEPTH = 32
# Of one delivery: all of it is committed in one transaction, which everybody waits for.
MAX_EVENTS = 1_000
MAX_EVENT_BYTES = 16 * 1024 * 1024
MAX_CHANGES = 10_000


class Effects:
    """The effects of one attempt of one delivery, in the order in which they were asked for."""

    __slots__ = (
        "attempt", "changes", "error", "event", "event_bytes", "event_count", "events", "is_open",
        "later_count", "owner", "subscription", "trace",
    )  # fmt: skip

    def __init__(
        self, event: Event, subscription: str, owner: object = None, attempt: int = 1
    ) -> None:
        """``owner`` is the log whose delivery this is: the effects are that bus's alone."""
        self.attempt = attempt
        self.trace: Attempt | None = None
        self.owner = owner
        self.event = event
        self.subscription = subscription
        self.events: list[Event] = []
        self.changes: list[tuple[Apply, Any]] = []
        self.event_count = 0  # also of those for later
        self.event_bytes = 0
        self.error: RejectError | None = None
        self.is_open = True
        self.later_count = 0

    @property
    def source(self) -> str:
        """The source of further events that are given none."""
        return f"/handlers/{self.subscription}"

    def publish(
        self, type: str, data: Any, check: Callable[[Event], None] | None = None, **attributes: Any
    ) -> Event:
        """A further event of this delivery; what is not given follows from the causing event.

        ``check`` raises for one that must not be recorded.
        """
        self.check_open()
        cause = self.event
        defaults = {
            "id": self._id(len(self.events)),
            "source": self.source,
            "correlationid": cause.correlationid,
            "causationid": cause.id,
            "traceparent": cause.traceparent if self.trace is None else None,
        }
        given = {name: value for name, value in attributes.items() if value is not None}
        event = Event.create(type, data, **{**defaults, **given}, depth=cause.depth + 1)
        if check is not None:
            check(event)
        if self.trace is not None:
            event = self.trace.created(event)
        elif "traceparent" not in given:
            event = in_trace_of(cause, event)
        self._check(event)
        self.events.append(event)
        return event

    def add(self, event: Event) -> Event:
        """A further event that the caller made; what it was not given follows from the cause.

        Returns it as it will be recorded: with an id that a redelivery gives it again, too.
        """
        adopted = self._adopt(event, len(self.events))
        self.events.append(adopted)
        return adopted

    def adopt_later(self, event: Event) -> Event:
        """The same for an event that the handler schedules: it is another change's, not ours."""
        self.later_count += 1
        return self._adopt(event, -self.later_count)

    def _adopt(self, event: Event, index: int) -> Event:
        self.check_open()
        cause = self.event
        is_first = event.correlationid == event.id
        derived = self._id(index)
        adopted = event.evolve(
            id=derived if event.is_new else event.id,
            correlationid=cause.correlationid if is_first else event.correlationid,
            causationid=event.causationid or cause.id,
            traceparent=event.traceparent or (None if self.trace else cause.traceparent),
            depth=cause.depth + 1,
            is_new=False,
        )
        if self.trace is not None:
            adopted = self.trace.created(adopted)
        elif event.traceparent is None:
            adopted = in_trace_of(cause, adopted)
        self._check(adopted)
        return adopted

    def _id(self, index: int) -> str:
        bus = getattr(self.owner, "bus_name", "")
        return derived_id(self.event.source, self.event.id, self.subscription, index, bus)

    def cancelled_id(self, event: Event) -> str:
        """The id of the event that tells that this attempt took ``event``'s schedule back."""
        bus = getattr(self.owner, "bus_name", "")
        subscription = f"{self.subscription}\0{event.source}\0{event.id}"
        return derived_id(self.event.source, self.event.id, subscription, 0, bus)

    def _check(self, event: Event) -> None:
        if event.depth > MAX_DEPTH and self.error is None:
            # Also kept, so that a handler that catches it does not go on for ever.
            self.error = EventLoopError(
                f"event loop: {event.type} would be number {event.depth} in a chain of events "
                f"causing events; at most {MAX_DEPTH} are allowed; it was caused by "
                f"{self.event.type} at {self.subscription!r}"
            )
        self.event_count += 1
        self.event_bytes += len(event.data_json)
        if self.event_count > MAX_EVENTS:
            self._refuse(f"more than {MAX_EVENTS:,} further events")
        if self.event_count > 1 and self.event_bytes > MAX_EVENT_BYTES:
            self._refuse(f"further events with more than {MAX_EVENT_BYTES:,} bytes of data")
        if self.error is not None:
            raise self.error

    def _refuse(self, what: str) -> None:
        """Also kept, so that a handler that catches it does not commit a part."""
        if self.error is None:
            self.error = TooManyEffectsError(
                f"{self.subscription!r} asked for {what} in one delivery; publish one event for "
                "the rest and let its handler go on, or publish from outside a handler"
            )

    def change(self, apply: Apply, params: Any) -> None:
        """A state change: ``apply`` gets a list of such ``params`` inside the transaction."""
        self.check_open()
        if len(self.changes) >= MAX_CHANGES:
            self._refuse(f"more than {MAX_CHANGES:,} state changes")
        if self.error is not None:
            raise self.error
        self.changes.append((apply, params))

    def tell_lost(self) -> None:
        """Say that its subscription was ended while it ran, and what is not done for it."""
        if self.events or self.changes:
            logger.warning(
                "%s was unsubscribed while it handled %s event %s: of what it asked for, "
                "%d events are not recorded and %d changes are not made",
                self.subscription, self.event.type, self.event.id,
                len(self.events), len(self.changes),
            )  # fmt: skip

    def check_open(self) -> None:
        if not self.is_open:
            raise EffectError(
                f"the attempt of {self.subscription!r} for event {self.event.id} is over; "
                "what it still asks for is not done"
            )


_current: ContextVar[Effects | None] = ContextVar("eventbus_effects", default=None)


def current_effects() -> Effects | None:
    """The effects of the handler that runs in this context, None outside handlers."""
    return _current.get()


def set_effects(effects: Effects | None) -> None:
    """Make ``effects`` those of the handler that runs next in this context."""
    _current.set(effects)
