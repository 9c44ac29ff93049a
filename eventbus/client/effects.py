"""What a remote handler publishes while it runs: sent with its success, or dropped."""

from __future__ import annotations

from collections.abc import Mapping
from contextvars import ContextVar
from typing import Any

from eventbus.cancels import Cancel
from eventbus.errors import EffectError
from eventbus.event import Event
from eventbus.ids import derived_id
from eventbus.scheduled import ScheduledEvent
from eventbus.tracing import Attempt, in_trace_of


class RemoteEffects:
    """The further events of one attempt of one delivery, as the bus would make them itself."""

    __slots__ = (
        "_later_count", "cancels", "cause", "events", "is_open", "owner", "subscription", "trace",
    )  # fmt: skip

    def __init__(self, cause: Event, subscription: str, owner: object) -> None:
        """``owner`` is the client whose handler this is: the effects are that client's alone."""
        self.cause = cause
        self.subscription = subscription
        self.owner = owner
        self.events: list[Event] = []
        self.cancels: list[Cancel] = []
        self.is_open = True
        self.trace: Attempt | None = None
        self._later_count = 0

    @property
    def source(self) -> str:
        """The source of further events that are given none."""
        return f"/handlers/{self.subscription}"

    def publish(self, type: str, data: Mapping[str, Any] | None, **attributes: Any) -> Event:
        """A further event; what is not given follows from the causing one."""
        self._check_open()
        cause = self.cause
        defaults = {
            "id": derived_id(
                cause.source, cause.id, self.subscription, len(self.events) - self._later_count
            ),
            "source": self.source,
            "correlationid": cause.correlationid,
            "causationid": cause.id,
            "traceparent": cause.traceparent if self.trace is None else None,
        }
        given = {name: value for name, value in attributes.items() if value is not None}
        event = Event.create(type, data, **{**defaults, **given})
        if self.trace is not None:
            event = self.trace.created(event)
        elif "traceparent" not in given:
            event = in_trace_of(cause, event)
        self.events.append(event)
        return event

    def add(self, event: Event) -> Event:
        """A further event that the caller made; returns it as it will be recorded.

        A scheduled one is numbered apart, as the bus does it for its own handlers.
        """
        self._check_open()
        cause = self.cause
        is_first = event.correlationid == event.id
        index = len(self.events) - self._later_count
        if isinstance(event, ScheduledEvent):
            self._later_count += 1
            index = -self._later_count
        derived = derived_id(cause.source, cause.id, self.subscription, index)
        adopted = event.evolve(
            id=derived if event.is_new else event.id,
            correlationid=cause.correlationid if is_first else event.correlationid,
            causationid=event.causationid or cause.id,
            traceparent=event.traceparent or (None if self.trace else cause.traceparent),
            is_new=False,
        )
        if self.trace is not None:
            adopted = self.trace.created(adopted)
        elif event.traceparent is None:
            adopted = in_trace_of(cause, adopted)
        if isinstance(event, ScheduledEvent):
            adopted = ScheduledEvent.of(
                adopted, delay=event.delay, at=event.at, is_timed=event.is_timed
            )
        self.events.append(adopted)
        return adopted

    def cancel(self, id: str, source: str | None, by: str | None) -> None:
        """Take back what is scheduled, in order with the events."""
        self._check_open()
        self.cancels.append(Cancel(id, source, by, len(self.events)))

    def _check_open(self) -> None:
        if not self.is_open:
            raise EffectError(
                f"the attempt of {self.subscription!r} for event {self.cause.id} is over; "
                "what it still asks for is not done"
            )


_current: ContextVar[RemoteEffects | None] = ContextVar("eventbus_remote_effects", default=None)


def effects_of(owner: object) -> RemoteEffects | None:
    """The effects of the handler that runs in this context, when it is one of ``owner``'s."""
    effects = _current.get()
    return effects if effects is not None and effects.owner is owner else None


def set_effects(effects: RemoteEffects | None) -> None:
    """Make ``effects`` those of the handler that runs next in this context."""
    _current.set(effects)
