"""What a reader of the log gets: pages of events, traces, deliveries and their attempts."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Literal

from eventbus.event import Event
from eventbus.patterns import Pattern

DeliveryState = Literal[
    "pending", "running", "succeeded", "retrying", "dead", "discarded", "cancelled"
]
OperationKind = Literal["redrive", "discard", "replay", "retry", "dismissal"]
DELIVERY_KINDS: tuple[OperationKind, ...] = ("redrive", "discard", "replay")
"""Those that change deliveries; the others publish events."""
OperationState = Literal["running", "finished", "stopped", "failed"]
AttemptOutcome = Literal["succeeded", "failed", "timeout", "crashed"]


@dataclass(frozen=True, slots=True)
class Chunk:
    """Events in ascending order, complete for the asked pattern up to ``position`` (a sequence)."""

    events: list[Event]
    position: int


@dataclass(frozen=True, slots=True)
class EventQuery:
    """What to look for in the history; every given condition must hold.

    ``after`` and ``before`` are sequences (exclusive); ``since`` (inclusive) and ``until``
    (exclusive) bound the event's time; ``text`` is looked for in payload, type and subject, as
    ``words`` reads it; ``limit`` is 1 to 1000.
    """

    pattern: Pattern | None = None
    subject: str | None = None
    correlation: str | None = None
    after: int | None = None
    before: int | None = None
    since: datetime | None = None
    until: datetime | None = None
    text: str | None = None
    order: Literal["desc", "asc"] = "desc"
    limit: int = 50
    cursor: str | None = None


@dataclass(frozen=True, slots=True)
class EventPage:
    """One page of history.

    ``next`` continues it, None at the end. ``previous`` leads back, None where the list begins and
    on a page that was not come to by a cursor; ``is_beginning``: the way back has ended here. A
    search that has to look at rows stops after a bounded number of them: then ``events`` may be
    short, even empty, while ``next`` goes on; ``scanned`` tells how many positions of the log were
    looked at (0 for an indexed answer).
    """

    events: list[Event]
    next: str | None
    scanned: int = 0
    previous: str | None = None
    is_beginning: bool = False


@dataclass(frozen=True, slots=True)
class Trace:
    """All events of one correlation in ascending order; ``truncated`` when there are more."""

    events: list[Event]
    truncated: bool


@dataclass(frozen=True, slots=True)
class TypeSeen:
    """An event type that the log holds, with its newest event."""

    type: str
    last_sequence: int
    last_time: datetime


@dataclass(frozen=True, slots=True)
class Attempt:
    """One run of a handler for one delivery; ``number`` counts from 1 in each ``round``."""

    number: int
    started_at: datetime
    duration_ms: float
    outcome: AttemptOutcome
    error_class: str | None = None
    error_message: str | None = None
    traceback: str | None = None
    round: int = 1


@dataclass(frozen=True, slots=True)
class Intervention:
    """What a person did to a delivery by an operation; ``state_before`` None: not delivered yet.

    ``attempt`` is the number of attempts that had ended in the round before.
    """

    kind: OperationKind
    operation: int
    at: datetime
    by: str
    reason: str | None
    state_before: DeliveryState | None
    attempt: int


@dataclass(frozen=True, slots=True)
class ChainLink:
    """An event in a chain of events that caused each other."""

    sequence: int
    id: str
    type: str


@dataclass(frozen=True, slots=True)
class Delivery:
    """One event at one subscription.

    ``attempt`` is the number of attempts that have ended in this ``round``; redriving and
    replaying, which ``interventions`` tell of, begin a new one. ``is_removed``: nobody is
    subscribed under the name any more. ``chain`` is given with an event loop, oldest first.
    """

    sequence: int
    event_id: str
    event_type: str
    subject: str
    subscription: str
    state: DeliveryState
    attempt: int
    next_attempt_at: datetime | None
    finished_at: datetime | None
    duration_ms: float | None
    error_class: str | None
    error_message: str | None
    attempts: list[Attempt] = field(default_factory=list)
    round: int = 1
    interventions: list[Intervention] = field(default_factory=list)
    is_removed: bool = False
    chain: list[ChainLink] | None = None


@dataclass(frozen=True, slots=True)
class DeliveryPage:
    """One page of deliveries, newest first; ``next`` continues it, None at the end.

    A search by conditions stops after a bounded number of rows: then a page may be short, even
    empty, while ``next`` goes on.
    """

    deliveries: list[Delivery]
    next: str | None


@dataclass(frozen=True, slots=True)
class Operation:
    """What a person does to many deliveries: redrive, discard or replay; or to many failures of
    what handlers keep, such as evaluations: retry or dismissal.

    ``total`` were selected at its start. ``done`` of them are dealt with: made pending again,
    discarded, asked for once more or dismissed; ``skipped`` are not, because they were not any more
    what they had been, or, in a replay, were to be done anyway. ``selection`` is as the API writes
    it; ``rate`` (events a second) is a replay's or retry's; ``outcomes`` counts the done deliveries
    by what has become of them.
    """

    id: int
    kind: OperationKind
    state: OperationState
    selection: dict[str, Any]
    by: str
    reason: str | None
    rate: float | None
    total: int
    done: int
    skipped: int
    started_at: datetime
    finished_at: datetime | None
    stopped_by: str | None
    error: str | None
    event_id: str
    outcomes: dict[str, int] | None = None

    @property
    def is_of_deliveries(self) -> bool:
        """Whether it changes deliveries."""
        return self.kind in DELIVERY_KINDS


@dataclass(frozen=True, slots=True)
class OperationPage:
    """One page of operations, newest first; ``next`` continues it, None at the end."""

    operations: list[Operation]
    next: str | None
