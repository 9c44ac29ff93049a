"""Metrics of what the built-in handlers count: evaluations, the queue, alerts."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from prometheus_client.core import GaugeMetricFamily, Metric

from app.metrics.families import counter, gauge

if TYPE_CHECKING:
    from app.runtime import Runtime

_NOW = ("active", "retrying", "stalled")
_EVER = ("completed", "exhausted", "cancelled")


def collect(parts: Runtime) -> Iterator[Metric]:
    """The counters of the screen's header, so all of it from the database."""
    counts = parts.handlers.counters()
    yield gauge(
        "eventbus_evaluations", "Evaluations that are not over, by state (from the database).",
        {(state,): counts[state] for state in _NOW}, ("state",),
    )  # fmt: skip
    yield counter(
        "eventbus_evaluations_ended", "Evaluations that are over, ever (from the database).",
        {(outcome,): counts[outcome] for outcome in _EVER}, ("outcome",),
    )  # fmt: skip
    yield counter(
        "eventbus_evaluation_failures",
        "Failures of evaluations, retried ones too, ever (from the database).",
        {(): counts["failed"]}, (),
    )  # fmt: skip
    yield GaugeMetricFamily(
        "eventbus_queue_depth", "Tasks in all queues (from the database).", counts["queue_depth"]
    )
    yield GaugeMetricFamily(
        "eventbus_alerts_open", "Alerts that ask for somebody (from the database).",
        counts["open_alerts"],
    )  # fmt: skip
