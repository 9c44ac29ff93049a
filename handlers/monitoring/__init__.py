"""Metrics: values and history, the read model that the screens show, the handler that keeps it."""

from handlers.monitoring.handler import MonitoringHandler
from handlers.monitoring.metrics import Metric, MetricPoint, Metrics

__all__ = ["Metric", "MetricPoint", "Metrics", "MonitoringHandler"]
