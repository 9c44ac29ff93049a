"""Metrics on a real bus: values, bounded history, and one alert for each crossing of a rule."""

from __future__ import annotations

import itertools
import random
from typing import Any

from eventbus import EventBus
from eventbus.log import EventQuery
from eventbus.patterns import Pattern
from handlers import Handlers, HandlerSettings, install
from tests.helpers.bus import LONG_S, open_bus


def record(bus: EventBus, *values: float, metric: str = "gpu.memory", **data: Any) -> None:
    bus.publish_many(
        {"type": "monitoring.metric.recorded", "data": {"metric": metric, "value": value, **data}}
        for value in values
    )
    assert bus.drain(LONG_S)


def alerts_published(bus: EventBus) -> list[tuple[str, str]]:
    found = bus.log.query(EventQuery(pattern=Pattern("alert.*"), order="asc", limit=1000)).events
    return [(event.type, event["error"]["type"]) for event in found]


def test_a_metric_has_its_last_value_and_its_history(bus: EventBus, handlers: Handlers) -> None:
    record(bus, 1, 2.5, 2, unit="GiB", eval_id="e1")
    metric = handlers.metrics.list()[0]
    assert (metric.name, metric.kind, metric.value, metric.unit) == (
        "gpu.memory", "gauge", 2, "GiB",
    )  # fmt: skip
    assert metric.samples == 3
    assert [point.value for point in handlers.metrics.history("gpu.memory")] == [1, 2.5, 2]
    assert [point.value for point in handlers.metrics.history("gpu.memory", limit=1)] == [2]
    assert handlers.metrics.history("unknown") == []


def test_the_history_of_a_metric_is_bounded(bus: EventBus, handlers: Handlers) -> None:
    for start in range(0, 3000, 500):
        record(bus, *range(start, start + 500))
    with bus.log.reading() as conn:
        kept = conn.exec_driver_sql("SELECT count(*) FROM metric_samples").scalar_one()
    assert 1000 <= kept <= 1500
    assert handlers.metrics.history("gpu.memory", limit=1000)[-1].value == 2999


def test_metrics_are_listed_by_prefix(bus: EventBus, handlers: Handlers) -> None:
    for name in ("gpu.a", "gpu.b", "gpux", "cpu"):
        record(bus, 1, metric=name)
    assert [metric.name for metric in handlers.metrics.list("gpu.")] == ["gpu.a", "gpu.b"]
    assert len(handlers.metrics.list()) == 4


def test_increments_of_many_at_once_all_count(bus: EventBus, handlers: Handlers) -> None:
    amounts = [random.Random(1).randint(-3, 5) for _ in range(500)]
    bus.publish_many(
        {"type": "monitoring.metric.incremented", "data": {"metric": "active", "by": amount}}
        for amount in amounts
    )
    assert bus.drain(LONG_S)
    metric = handlers.metrics.get("active")
    assert metric is not None
    assert (metric.kind, metric.value) == ("counter", sum(amounts))
    running = [point.value for point in handlers.metrics.history("active", limit=1000)]
    assert running == list(itertools.accumulate(amounts))


def test_a_rule_raises_one_alert_for_each_crossing_not_for_each_sample(url: str) -> None:
    rules = ("gpu.* > 0.9 for warning", "gpu.memory > 0.95 for critical")
    with open_bus(url) as bus:
        handlers = install(bus, HandlerSettings(metric_rules=rules))
        record(bus, 0.5, 0.91, 0.92, 0.96, 0.99, 0.93, 0.97, 0.2, 0.96)
        assert alerts_published(bus) == [
            ("alert.warning", "gpu.memory > 0.9"),
            ("alert.critical", "gpu.memory > 0.95"),
            ("alert.critical", "gpu.memory > 0.95"),
            ("alert.warning", "gpu.memory > 0.9"),
            ("alert.critical", "gpu.memory > 0.95"),
        ]
        metric = handlers.metrics.get("gpu.memory")
        assert metric is not None and metric.crossed == rules_written(rules)
        assert handlers.counters()["open_alerts"] == 2
        assert {alert.severity for alert in handlers.alerts.open()} == {"critical", "warning"}


def rules_written(rules: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(rule.text for rule in HandlerSettings(metric_rules=rules).rules())


def test_a_crossing_is_remembered_over_a_restart(url: str) -> None:
    settings = HandlerSettings(metric_rules=("gpu.memory > 0.9 for critical",))
    for _ in range(2):
        with open_bus(url) as bus:
            install(bus, settings)
            record(bus, 0.95)
            assert len(alerts_published(bus)) == 1


def test_a_rule_on_a_counter_sees_the_sum(url: str) -> None:
    with open_bus(url) as bus:
        install(bus, HandlerSettings(metric_rules=("errors >= 3 for critical",)))
        for _ in range(4):
            bus.publish("monitoring.metric.incremented", {"metric": "errors"})
        assert bus.drain(LONG_S)
        assert len(alerts_published(bus)) == 1
