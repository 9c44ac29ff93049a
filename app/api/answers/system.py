"""Shapes of answers about the service itself: counters, subscriptions, flow, queues, storage."""

from __future__ import annotations

from datetime import datetime
from typing import Any, Literal, NotRequired, TypedDict

from app.api.answers.extended import extended
from app.api.answers.work import EventReference
from app.flow.graph import Kind as NodeKind
from app.flow.graph import State as FlowState
from app.start_check import State as CheckState
from eventbus.brokers.bridge import BridgeStatus
from eventbus.log.search.index import IndexState
from eventbus.rebuild import Progress
from eventbus.retention.forecast import Space
from eventbus.statistics import SubscriptionStats
from eventbus.trouble import Part, Trouble
from handlers.monitoring.metrics import Metric, MetricPoint
from handlers.notify.channels import Kind as ChannelKind
from handlers.notify.notifier import ChannelHealth
from handlers.queue.queues import Queue
from handlers.view import View

Json = dict[str, Any]


class Counters(TypedDict):
    """The counters of the header; *failed* counts failures, the others evaluations or things."""

    active: int
    retrying: int
    completed: int
    failed: int
    exhausted: int
    stalled: int
    cancelled: int
    queue_depth: int
    open_alerts: int
    dead_letters: int | None


class Stats(TypedDict):
    """Position of the log, events per second, counters; ``at`` is there for the past."""

    sequence: int
    at: NotRequired[datetime | None]
    rate: float
    counters: Counters


Subscription = extended(
    "Subscription",
    "A subscription with its lag, counts and durations; `consumers` are other processes.",
    SubscriptionStats,
    consumers=int,
)
SubscriptionPaused = extended(
    "SubscriptionPaused",
    "A subscription, and whether that was news to it.",
    SubscriptionStats,
    changed=bool,
)


class Subscriptions(TypedDict):
    """Every subscription."""

    subscriptions: list[Subscription]


class SubscriptionEnded(TypedDict):
    """The subscription that is forgotten, and the event that says so."""

    name: str
    event: EventReference


class FlowNode(TypedDict):
    """A type, a family of types or a handler."""

    id: str
    kind: NodeKind
    name: str
    count: int
    rate: float
    failures: int
    state: FlowState
    last_at: datetime | None


FlowEdge = TypedDict(
    "FlowEdge",
    {
        "from": str,
        "to": str,
        "kind": Literal["handled", "caused"],
        "count": int,
        "rate": float,
        "failures": int,
        "p50_ms": float | None,
        "p95_ms": float | None,
        "p99_ms": float | None,
        "state": FlowState,
        "last_at": datetime | None,
    },
)


class Flow(TypedDict):
    """What was observed in a window of time."""

    since: datetime
    until: datetime
    position: int
    last_sequence: int
    nodes: list[FlowNode]
    edges: list[FlowEdge]


class Queues(TypedDict):
    """Every queue."""

    queues: list[Queue]


class Metrics(TypedDict):
    """Every metric with its last value."""

    metrics: list[Metric]


class MetricHistory(TypedDict):
    """The points of one metric, newest first."""

    name: str
    history: list[MetricPoint]


class LastRun(TypedDict):
    """A run of the retention."""

    started_at: datetime
    finished_at: datetime | None
    by: str | None
    rules: dict[str, dict[str, int]]
    held_back: int
    is_too_large: bool
    error: str | None


class RetentionState(TypedDict):
    """The rules, and how the last run went."""

    rules: list[str]
    is_running: bool
    last_run: LastRun | None
    longest_hold_ms: float


class RetentionStarted(TypedDict):
    """That a run has begun."""

    retention: RetentionState


class RetentionPreview(TypedDict):
    """What a run would remove, by rule."""

    rules: dict[str, dict[str, int]]
    held_back: int
    is_too_large: bool


Storage = extended(
    "Storage",
    "The room that the log takes, and when the disk will be full.",
    Space,
    without=("growth_bytes",),
    growth_bytes_per_day=int | None,
    retention=RetentionState,
    search_index=IndexState,
)
RebuildProgress = extended(
    "RebuildProgress",
    "How far a rebuild or a check of the read models is.",
    Progress,
    examples=list[str],
    started_at=datetime,
    finished_at=datetime | None,
)


class Rebuild(TypedDict):
    """The rebuild or check that runs or ran last."""

    rebuild: RebuildProgress | None


class Views(TypedDict):
    """All saved views."""

    views: list[View]


class Channel(TypedDict):
    """A channel that alerts are told to, and how it does."""

    name: str
    kind: ChannelKind
    target: str
    severities: list[str]
    changes: list[str]
    subscription: str
    health: ChannelHealth
    last_sent: Json | None
    last_failed: Json | None
    waiting: int
    dead: int


class Channels(TypedDict):
    """Every channel."""

    channels: list[Channel]


class ChannelTested(TypedDict):
    """What the other side said to a test."""

    answer: str


class Alive(TypedDict):
    """The process can do its work."""

    status: Literal["ok"]


class Integrity(TypedDict):
    """What is known about the last start after a crash."""

    state: CheckState
    kind: NotRequired[str]
    checked_at: NotRequired[datetime]
    duration_s: NotRequired[float]
    problems: NotRequired[list[str]]
    findings: NotRequired[list[str]]


class Check(TypedDict):
    """One part, what was asked of it, and what the answer is."""

    part: Part
    status: Literal["pass", "warn", "fail"]
    asked: str
    details: list[str]


class Process(TypedDict):
    """The process that answers; ``works``: it does what one of those that share a log does."""

    host: str
    pid: int
    number: int
    works: bool


class Ready(TypedDict):
    """The log can be read and written, and events are delivered."""

    status: Literal["ready"]
    sequence: int
    process: Process
    warnings: list[Trouble]
    checks: list[Check]
    integrity: Integrity
    broker: NotRequired[BridgeStatus]


class NotWell(TypedDict):
    """A problem document with every reason."""

    title: str
    status: int
    detail: str
    reasons: list[Trouble]
    process: NotRequired[Process]
    checks: NotRequired[list[Check]]
    integrity: NotRequired[Integrity]
    broker: NotRequired[BridgeStatus]
