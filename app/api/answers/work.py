"""Shapes of answers about evaluations, alerts, deliveries and what people do to many of them."""

from __future__ import annotations

from datetime import datetime
from typing import Literal, NotRequired, TypedDict

from app.api.answers.events import CloudEvent
from app.api.answers.extended import extended
from eventbus.log import Delivery, Operation
from eventbus.log.dead_letters import DeadLetterCount
from eventbus.operations import Preview
from handlers.alert import Alert
from handlers.alert.alerts import AlertChange, AlertOccurrence
from handlers.evaluation import Evaluation
from handlers.storage.files import File


class AsOf(TypedDict):
    """The moment of the past that an answer tells of."""

    sequence: int
    at: datetime | None


class EvaluationPage(TypedDict):
    """A page of evaluations."""

    evaluations: list[Evaluation]
    next: str | None
    as_of: NotRequired[AsOf]


class EventReference(TypedDict):
    """The event that records what was done."""

    id: str
    sequence: int | None


EvaluationDetail = extended(
    "EvaluationDetail",
    "One evaluation with its first events, oldest first, and its files.",
    Evaluation,
    files=list[File],
    events=list[CloudEvent],
    next=str | None,
)
EvaluationAsked = extended(
    "EvaluationAsked",
    "The evaluation after what was asked of it; `handled` says whether that is in it already.",
    Evaluation,
    handled=bool,
    event=EventReference,
)


class AlertPage(TypedDict):
    """A page of alerts."""

    alerts: list[Alert]
    next: str | None
    as_of: NotRequired[AsOf]


AlertChanged = extended(
    "AlertChanged",
    "The alert after a decision; `event` records it, when it changed something.",
    Alert,
    handled=NotRequired[bool],
    event=NotRequired[EventReference],
)


class AlertRhythm(TypedDict):
    """Occurrences in the last 24 hours, oldest first, a number for every ``bucket_s``."""

    bucket_s: int
    counts: list[int]


class AlertHistory(TypedDict):
    """What became of an alert."""

    changes: list[AlertChange]
    occurrences: list[AlertOccurrence]
    last_24h: AlertRhythm


class AlertsChanged(TypedDict):
    """What became of a decision about several alerts, by their ids."""

    changed: list[str]
    unchanged: list[str]
    unknown: list[str]
    handled: bool


class DeliveryPage(TypedDict):
    """A page of deliveries."""

    deliveries: list[Delivery]
    next: str | None


class DeliveryCounts(TypedDict):
    """How many deliveries are unfinished, by state."""

    counts: dict[str, int]


DeadLetterGroup = extended(
    "DeadLetterGroup",
    "Dead letters of one subscription, type and class of error.",
    DeadLetterCount,
    without=("subscription_id",),
)


class DeadLetterGroups(TypedDict):
    """How many dead letters there are, the largest group first."""

    groups: list[DeadLetterGroup]


class DeliveryKey(TypedDict):
    """An event at a subscription."""

    sequence: int
    subscription: str


class Retried(TypedDict):
    """The deliveries whose next attempt was begun."""

    retried: int
    deliveries: list[DeliveryKey]


OperationPreview = extended(
    "OperationPreview",
    "How many deliveries an operation would be about.",
    Preview,
    dry_run=Literal[True],
)


class OperationPage(TypedDict):
    """A page of operations."""

    operations: list[Operation]
    next: str | None
