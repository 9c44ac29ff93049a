"""Metrics of what is live: WebSockets, the hub that writes to them, and the bus's loop."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric

from app.metrics.families import gauge

if TYPE_CHECKING:
    from app.runtime import Runtime


def collect(parts: Runtime) -> Iterator[Metric]:
    """From memory."""
    hub = parts.hub.stats()
    open_by_kind = {**hub.open, "consumer": sum(parts.consumers.counts().values())}
    yield gauge(
        "eventbus_websockets", "Open WebSockets: pages, JSON streams, remote consumers.",
        {(kind,): count for kind, count in open_by_kind.items()}, ("kind",),
    )  # fmt: skip
    yield GaugeMetricFamily(
        "eventbus_websocket_places_used", "Places for WebSockets that are taken.", hub.places
    )
    yield GaugeMetricFamily(
        "eventbus_websocket_places", "Places for WebSockets that there are.",
        parts.settings.max_sockets,
    )  # fmt: skip
    yield GaugeMetricFamily(
        "eventbus_websocket_backlog_bytes", "What waits for slow clients to read it.",
        hub.backlog_bytes,
    )  # fmt: skip
    yield CounterMetricFamily(
        "eventbus_websockets_fallen_behind",
        "How often a client was too slow for its view and had to catch up from the log.",
        hub.fallen_count,
    )  # fmt: skip
    yield CounterMetricFamily(
        "eventbus_websockets_refused", "WebSockets refused for want of a place.", hub.refused_count
    )
    yield GaugeMetricFamily("eventbus_live_views", "Distinct views that are rendered.", hub.views)
    yield GaugeMetricFamily(
        "eventbus_live_lag_events", "Positions of the log that the live views have not shown yet.",
        max(0, parts.bus.log.last_sequence - hub.position),
    )  # fmt: skip
    yield CounterMetricFamily(
        "eventbus_hub_cpu_seconds", "Processor time that the hub's thread has used.", hub.cpu_s
    )
    yield GaugeMetricFamily(
        "eventbus_loop_late_seconds", "For how long the bus's loop has not come to its beat.",
        parts.bus.watchdog.late_s(),
    )  # fmt: skip
