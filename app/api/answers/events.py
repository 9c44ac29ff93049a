"""Shapes of answers about events: receipts, pages, traces, previews, imports."""

from __future__ import annotations

from datetime import datetime
from typing import Any, Literal, NotRequired, TypedDict

from app.api.answers.extended import OneOf, extended
from app.importing import Imported
from eventbus.dryrun.values import Intent, StateChange, Trial
from eventbus.log import Delivery

Json = dict[str, Any]


class CloudEvent(TypedDict):
    """A recorded event, in the JSON format of CloudEvents 1.0."""

    specversion: Literal["1.0"]
    id: str
    source: str
    type: str
    subject: str
    time: datetime
    datacontenttype: Literal["application/json"]
    correlationid: str
    sequence: NotRequired[int]
    causationid: NotRequired[str]
    traceparent: NotRequired[str]
    dataschema: NotRequired[str]
    data: NotRequired[Json]
    dataremoved: NotRequired[Literal[True]]
    at: NotRequired[datetime]


class EventReceipt(TypedDict):
    """What became of an event that was sent. A scheduled one has no sequence yet, but ``at``.

    With ``wait`` there are ``deliveries``, ``handled`` when all of them are settled (succeeded,
    dead, discarded or cancelled), and ``timed_out`` when what was waited for had not come in time.
    """

    id: str
    sequence: int | None
    duplicate: bool
    at: NotRequired[datetime]
    handled: NotRequired[bool]
    timed_out: NotRequired[bool]
    deliveries: NotRequired[list[Delivery]]


class BatchReceipt(TypedDict):
    """What became of the events of an array, in their order."""

    events: list[EventReceipt]


class EventPage(TypedDict):
    """A page of events; ``next`` continues it, ``previous`` leads back."""

    events: list[CloudEvent]
    next: str | None
    previous: NotRequired[str]


class ScheduledPage(TypedDict):
    """A page of scheduled events, each with ``at``, when it is due."""

    scheduled: list[CloudEvent]
    next: str | None


class ScheduleCancelled(TypedDict):
    """That nothing is scheduled under an id any more."""

    id: str
    cancelled: Literal[True]


class EventDeliveries(TypedDict):
    """What became of an event at each durable subscription."""

    deliveries: list[Delivery]


class TraceNode(TypedDict):
    """An event in the tree of causes; ``latency_ms`` is the time since its cause."""

    event: CloudEvent
    latency_ms: float | None
    children: list[TraceNode]


class Trace(TypedDict):
    """The causation tree that an event is part of."""

    id: str
    count: int
    truncated: bool
    tree: list[TraceNode]


ForeseenEvent = extended(
    "ForeseenEvent",
    "An event of a dry run: how it would be recorded, by whom, how deep in the chain, for whom.",
    CloudEvent,
    delay=NotRequired[int | str],
    level=int,
    by=str | None,
    at=datetime | None,
    duplicate=bool,
    followed=bool,
    subscriptions=list[Trial],
)
StateEffect = extended(
    "StateEffect", "A row of a read model that would change.", StateChange, kind=Literal["state"]
)


class Effect(OneOf):
    """What a handler would do."""

    shapes = (StateEffect, Intent)


class Preview(TypedDict):
    """What publishing would lead to; ``bound`` says what ended the dry run early."""

    sequence: int
    duration_ms: float
    bound: str | None
    given: list[ForeseenEvent]
    subscriptions: list[Trial]
    effects: list[Effect]
    events: list[ForeseenEvent]


class ImportErrorLine(TypedDict):
    """What is wrong with a line."""

    line: int
    pointer: str
    detail: str


ImportResult = extended(
    "ImportResult",
    "What became of the lines of an import.",
    Imported,
    without=("error",),
    errors=list[ImportErrorLine],
)
