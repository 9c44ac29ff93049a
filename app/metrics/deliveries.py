"""Metrics of the deliveries: what handlers did, what is still to be done, what nobody could do."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import TYPE_CHECKING

from prometheus_client.core import Metric

from app.metrics.families import REST, Labels, bounded, counter, gauge, histogram
from eventbus.log.backlog import backlogs
from eventbus.statistics import served

if TYPE_CHECKING:
    from app.runtime import Runtime

MOST_SUBSCRIPTIONS = 200
_BY = ("subscription",)


def collect(parts: Runtime) -> Iterator[Metric]:
    """What handlers did is from memory, since they began to be served; the rest is from the log."""
    log = parts.bus.log
    lanes = served(parts.bus.dispatcher.lanes())
    # A remote consumer may make up any name, and a lambda's is new at every start.
    labels = bounded([known.name for known in log.subscribers()], MOST_SUBSCRIPTIONS)
    attempts: dict[Labels, float] = {}
    running: dict[Labels, float] = {}
    blocked: dict[Labels, float] = {}
    for one in lanes:
        label = labels.get(one.name, REST)
        for outcome in ("succeeded", "retried", "died"):
            _add(attempts, (label, outcome), getattr(one, outcome))
        _add(running, (label,), one.running)
        _add(blocked, (label,), one.blocked_loop)
    yield counter(
        "eventbus_delivery_attempts",
        "Attempts of handlers by how they ended: succeeded, retried (failed, and another follows) "
        "or died (failed for the last time).",
        attempts, ("subscription", "outcome"),
    )  # fmt: skip
    yield histogram(
        "eventbus_handler_duration_seconds",
        "How long attempts of handlers took, however they ended.",
        {(one.name,): one.took for one in lanes if labels.get(one.name) == one.name}, _BY,
        unit=1e-6,
    )  # fmt: skip
    yield gauge("eventbus_handlers_running", "Attempts that are under way.", running, _BY)
    yield counter(
        "eventbus_loop_blocked",
        "How often a handler made all others wait by blocking the loop.", blocked, _BY,
    )  # fmt: skip
    yield from _unfinished(parts)


def _unfinished(parts: Runtime) -> Iterator[Metric]:
    log = parts.bus.log
    with log.reading() as conn:
        found = backlogs(conn, MOST_SUBSCRIPTIONS)
    now_us = time.time_ns() // 1_000
    yield gauge(
        "eventbus_subscription_lag_events",
        "Matching events that are not finished, counted up to 100000 in each state (from the "
        "database).",
        {(one.subscription,): one.lag for one in found}, _BY,
    )  # fmt: skip
    yield gauge(
        "eventbus_subscription_lag_seconds",
        "How long ago the oldest event was recorded that is not finished; 0 without any (from the "
        "database).",
        {
            (one.subscription,): 0.0 if one.oldest_us is None
            else max(0, now_us - one.oldest_us) / 1e6
            for one in found
        }, _BY,
    )  # fmt: skip
    yield gauge(
        "eventbus_deliveries_retrying",
        "Deliveries that wait for their next attempt (from the database).",
        {(one.subscription,): one.retrying for one in found}, _BY,
    )  # fmt: skip
    paused = log.paused_ids
    yield gauge(
        "eventbus_subscription_paused", "Whether somebody has paused it (from the database).",
        {
            (s.name,): float(s.id in paused)
            for s in log.subscribers()[:MOST_SUBSCRIPTIONS]
        }, _BY,
    )  # fmt: skip
    dead: dict[Labels, float] = {(one.subscription,): 0 for one in found}
    groups = log.dead_letters.counts()
    for group in groups:
        # One that has been removed keeps its dead letters; such names are made up, too.
        label = (group.subscription,) if (group.subscription,) in dead else (REST,)
        _add(dead, label, group.count)
    yield gauge(
        "eventbus_dead_letters", "Dead letters that nobody has dealt with (from the database).",
        dead, _BY,
    )  # fmt: skip


def _add(sums: dict[Labels, float], key: Labels, value: float) -> None:
    sums[key] = sums.get(key, 0) + value
