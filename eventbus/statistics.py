"""How the subscriptions do: lag, failures, durations."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Literal

from eventbus.buckets import Counted
from eventbus.lane import Lane
from eventbus.log.eventlog import EventLog
from eventbus.timestamps import from_microseconds

if TYPE_CHECKING:
    from eventbus.runner import Run
    from eventbus.serving import Serving

SubscriptionState = Literal["served", "paused", "unserved"]


@dataclass(frozen=True, slots=True)
class SubscriptionStats:
    """How one subscription does now.

    ``lag`` counts matching events that are not finished; ``failures`` failed attempts, ever;
    ``succeeded`` deliveries in this process. ``p50_ms``, ``p95_ms``, ``p99_ms`` are of the newest
    1000 durations, None before the first. ``is_active``: a handler serves it in this process.
    ``blocked_loop``: how often its handler made all others wait, in this process. ``state`` is
    ``paused``, else ``served`` or, when no handler serves it, ``unserved``. ``is_elsewhere``:
    another process serves it. Then the durations are those in the log, and ``running`` is unknown.
    """

    name: str
    pattern: str
    is_durable: bool
    is_active: bool
    lag: int
    running: int
    retrying: int
    dead: int
    succeeded: int
    failures: int
    p50_ms: float | None
    p95_ms: float | None
    p99_ms: float | None
    blocked_loop: int = 0
    state: SubscriptionState = "served"
    paused_at: datetime | None = None
    paused_by: str | None = None
    pause_reason: str | None = None
    is_elsewhere: bool = False


@dataclass(frozen=True, slots=True)
class Served:
    """What a subscription's handler has done since it began to be served in this process.

    Attempts: ``succeeded`` ones, those after which another followed, those after which none did.
    """

    name: str
    succeeded: int
    retried: int
    died: int
    took: Counted
    running: int
    blocked_loop: int

    @classmethod
    def of(cls, lane: Lane) -> Served:
        retried = lane.failures - lane.failed_before - lane.died
        return cls(
            lane.subscription.name, lane.succeeded, retried, lane.died,
            lane.took_us.counted(), lane.running_count, lane.blocked_count,
        )  # fmt: skip


@dataclass(frozen=True, slots=True)
class Running:
    """An attempt that is under way; ``attempt`` counts from 1."""

    sequence: int
    event_id: str
    event_type: str
    subscription: str
    attempt: int
    started_at: datetime

    @classmethod
    def of(cls, run: Run) -> Running:
        job = run.job
        return cls(
            job.event.sequence or 0, job.event.id, job.event.type, job.lane.subscription.name,
            job.attempt + 1, from_microseconds(run.started_us),
        )  # fmt: skip


def served(lanes: Mapping[str, Lane]) -> list[Served]:
    """What the handlers of these lanes have done so far."""
    return [Served.of(lane) for lane in lanes.values()]


def subscription_stats(
    log: EventLog, lanes: Mapping[str, Lane], serving: Serving
) -> list[SubscriptionStats]:
    """Stored and live subscriptions together, by name."""
    lanes = {name: lane for name, lane in lanes.items() if serving.is_served(name)}
    counts = log.delivery_reader.counts_by_subscription()
    stats = []
    stored = {subscriber.name: subscriber for subscriber in log.subscribers()}
    elsewhere = serving.elsewhere(stored.keys() - lanes.keys())
    for name in sorted(stored.keys() | lanes.keys()):
        lane, subscriber = lanes.get(name), stored.get(name)
        if subscriber is not None:
            own = counts.get(subscriber.id, {})
            lag = own.get("pending", 0) + own.get("retrying", 0)
            retrying, dead = own.get("retrying", 0), own.get("dead", 0)
            pattern = subscriber.pattern.text
        else:
            assert lane is not None, "the name came from one of the two"
            lag = lane.open + lane.waiting + lane.retrying
            retrying, dead = lane.retrying, 0
            pattern = lane.subscription.pattern.text
        pause = subscriber.pause if subscriber else None
        durations = sorted(lane.durations_ms) if lane else []
        failures = lane.failures if lane else 0
        if lane is None and subscriber is not None:
            failures = log.delivery_reader.failures(subscriber.id)
            if name in elsewhere:
                durations = log.delivery_reader.recent_durations_ms(
                    subscriber.id, log.last_sequence
                )
                durations.sort()
        stats.append(SubscriptionStats(
            name=name, pattern=pattern, is_durable=subscriber is not None,
            is_active=lane is not None, lag=lag, running=lane.running_count if lane else 0,
            retrying=retrying, dead=dead, succeeded=lane.succeeded if lane else 0,
            failures=failures, p50_ms=percentile(durations, 50),
            p95_ms=percentile(durations, 95), p99_ms=percentile(durations, 99),
            blocked_loop=lane.blocked_count if lane else 0,
            state="paused" if pause else "served" if lane or name in elsewhere else "unserved",
            paused_at=pause.at if pause else None, paused_by=pause.by if pause else None,
            pause_reason=pause.reason if pause else None, is_elsewhere=name in elsewhere,
        ))  # fmt: skip
    return stats


def percentile(ordered: Sequence[float], percent: float) -> float | None:
    """The nearest-rank percentile of ascending values, None without any."""
    if not ordered:
        return None
    return ordered[max(0, math.ceil(len(ordered) * percent / 100) - 1)]
