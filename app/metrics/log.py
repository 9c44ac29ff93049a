"""Metrics of the log: what is published, how commits go, what is planned."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric

from app.live.traffic import REST as UNTOLD
from app.live.traffic import by_family
from app.metrics.families import REST, bounded, counter, histogram

if TYPE_CHECKING:
    from app.runtime import Runtime

MOST_FAMILIES = 100


def collect(parts: Runtime) -> Iterator[Metric]:
    """From memory, but for what is scheduled."""
    log = parts.bus.log
    yield counter(
        "eventbus_events_published",
        "Events recorded since the start, by the first segment of their type.",
        published(parts.hub.traffic.heard()), ("family",),
    )  # fmt: skip
    yield GaugeMetricFamily(
        "eventbus_log_sequence", "The newest sequence of the log.", log.last_sequence
    )
    yield CounterMetricFamily(
        "eventbus_log_events_removed",
        "Events that retention has removed, ever (from the database).", log.removed_count,
    )  # fmt: skip
    yield histogram(
        "eventbus_commit_duration_seconds",
        "How long one commit of the log took, disk included.",
        {(): log.commits.took_us.counted()}, unit=1e-6,
    )  # fmt: skip
    yield histogram(
        "eventbus_commit_events",
        "How many events one commit recorded; 0 for one of deliveries alone.",
        {(): log.commits.events.counted()},
    )  # fmt: skip
    yield CounterMetricFamily(
        "eventbus_commit_failures",
        "Commits that the storage refused since the start.", log.commits.failed,
    )  # fmt: skip
    yield GaugeMetricFamily(
        "eventbus_scheduled_events", "Events that wait to be due (from the database).",
        log.schedules.count(),
    )  # fmt: skip


def published(by_type: dict[str, int]) -> dict[tuple[str, ...], int]:
    """Counts by family, a bounded number of them: types are made up by whoever publishes."""
    families = by_family(by_type)
    untold = families.pop(UNTOLD, 0)
    counts: dict[tuple[str, ...], int] = {}
    for family, label in bounded(families, MOST_FAMILIES).items():
        counts[(label,)] = counts.get((label,), 0) + families[family]
    if untold:
        counts[(REST,)] = counts.get((REST,), 0) + untold
    return counts
