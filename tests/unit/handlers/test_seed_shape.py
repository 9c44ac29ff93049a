"""A handler class of the shape that the first design document showed runs on this bus unchanged."""

from __future__ import annotations

import logging
from typing import Any

import pytest

from eventbus import EventBus
from eventbus.log import EventQuery
from eventbus.patterns import Pattern
from handlers import MonitoringClient, StorageClient, install
from tests.helpers.bus import LONG_S, open_bus
from tests.helpers.waiting import wait_until

logger = logging.getLogger("test.seed_shape")


class EvaluationEventHandler:
    """Knows nothing of this bus: it subscribes in its constructor, and awaits what it calls."""

    def __init__(self, event_bus: Any, storage_client: Any, monitoring_client: Any) -> None:
        self.event_bus = event_bus
        self.storage = storage_client
        self.monitoring = monitoring_client
        self.failures_left = 0
        event_bus.subscribe("evaluation.started", self.handle_evaluation_started)
        event_bus.subscribe("evaluation.completed", self.handle_evaluation_completed)
        event_bus.subscribe("evaluation.failed", self.handle_evaluation_failed)

    async def handle_evaluation_started(self, event_data: Any) -> None:
        eval_id = event_data["eval_id"]
        await self.monitoring.increment("evaluations.active")
        logger.info(f"Evaluation {eval_id} started")
        await self.event_bus.publish(
            "metrics.evaluation.started",
            {"eval_id": eval_id, "timestamp": event_data["timestamp"]},
        )
        self.break_if_asked_to()

    async def handle_evaluation_completed(self, event_data: Any) -> None:
        eval_id = event_data["eval_id"]
        result = event_data["result"]
        await self.storage.store_result(eval_id, result)
        await self.monitoring.decrement("evaluations.active")
        await self.monitoring.increment("evaluations.completed")
        await self.event_bus.publish("cleanup.evaluation", {"eval_id": eval_id})
        self.break_if_asked_to()

    async def handle_evaluation_failed(self, event_data: Any) -> None:
        eval_id = event_data["eval_id"]
        error = event_data["error"]
        if error.get("severity") == "critical":
            await self.event_bus.publish(
                "alert.critical", {"service": "evaluation", "error": error}
            )
        retry_count = event_data.get("retry_count", 0)
        if retry_count < 3:
            await self.event_bus.publish(
                "evaluation.retry", {"eval_id": eval_id, "retry_count": retry_count + 1}
            )
        self.break_if_asked_to()

    def break_if_asked_to(self) -> None:
        """What this class adds to the document's: breaking after all effects were asked for."""
        if self.failures_left:
            self.failures_left -= 1
            raise ConnectionError("the network is away")


def make(bus: EventBus) -> EvaluationEventHandler:
    return EvaluationEventHandler(bus, StorageClient(bus), MonitoringClient(bus))


def published(bus: EventBus, pattern: str) -> list[dict[str, Any]]:
    assert bus.drain(LONG_S)
    found = bus.log.query(EventQuery(pattern=Pattern(pattern), order="asc", limit=1000)).events
    return [event.data for event in found]


def value(bus: EventBus, name: str) -> float | None:
    assert bus.drain(LONG_S)
    return MonitoringClient(bus).value(name).wait()


def test_metrics_the_result_and_further_events_are_there(bus: EventBus) -> None:
    make(bus)
    bus.publish("evaluation.started", {"eval_id": "e1"})
    bus.publish("evaluation.started", {"eval_id": "e2", "timestamp": "noon"})
    assert value(bus, "evaluations.active") == 2
    assert [data["timestamp"] for data in published(bus, "metrics.*")][1] == "noon"
    bus.publish("evaluation.completed", {"eval_id": "e1", "result": {"accuracy": 0.5}})
    assert value(bus, "evaluations.active") == 1
    assert value(bus, "evaluations.completed") == 1
    assert StorageClient(bus).get_result("e1").wait() == {"accuracy": 0.5}
    assert published(bus, "cleanup.*") == [{"eval_id": "e1"}]


def test_failures_are_retried_and_critical_ones_raise_an_alert(bus: EventBus) -> None:
    make(bus)
    for retry_count in range(4):
        error = {"type": "X", "severity": "critical" if retry_count == 3 else "error"}
        data = {"eval_id": "e1", "error": error, "retry_count": retry_count}
        bus.publish("evaluation.failed", data)
    assert [data["retry_count"] for data in published(bus, "evaluation.retry")] == [1, 2, 3]
    assert [data["service"] for data in published(bus, "alert.critical")] == ["evaluation"]


def test_effects_happen_once_when_the_handler_breaks_after_asking_for_them(bus: EventBus) -> None:
    handler = make(bus)
    handler.failures_left = 2
    event = bus.publish("evaluation.started", {"eval_id": "e1"}).wait()
    wait_until(lambda: bus.log.deliveries(event.sequence or 0)[0].state == "succeeded", "handled")
    handler.failures_left = 1
    event = bus.publish("evaluation.completed", {"eval_id": "e1", "result": 7}).wait()
    wait_until(lambda: bus.log.deliveries(event.sequence or 0)[0].state == "succeeded", "handled")
    assert value(bus, "evaluations.active") == 0
    assert value(bus, "evaluations.completed") == 1
    assert len(published(bus, "metrics.*")) == 1
    assert len(published(bus, "storage.result.stored")) == 1


def test_a_handler_that_never_succeeds_has_no_effect_at_all(bus: EventBus) -> None:
    handler = make(bus)
    handler.failures_left = 1000
    event = bus.publish("evaluation.started", {"eval_id": "e1"}).wait()
    wait_until(lambda: bus.log.deliveries(event.sequence or 0)[0].state == "dead", "given up")
    assert value(bus, "evaluations.active") is None
    assert published(bus, "metrics.*") == []


def test_effects_survive_a_restart_between_the_event_and_its_handling(url: str) -> None:
    with open_bus(url) as bus:
        make(bus).failures_left = 1000
        bus.publish("evaluation.started", {"eval_id": "e1"})
    with open_bus(url) as bus:
        make(bus)
        wait_until(lambda: value(bus, "evaluations.active") == 1, "the restarted handler counts")
        assert len(published(bus, "metrics.*")) == 1


@pytest.mark.parametrize("is_installed_first", [True, False])
def test_it_works_beside_the_built_in_handlers(bus: EventBus, is_installed_first: bool) -> None:
    if is_installed_first:
        handlers = install(bus)
        make(bus)
    else:
        make(bus)
        handlers = install(bus)
    bus.publish("evaluation.started", {"eval_id": "e1"})
    bus.publish("evaluation.completed", {"eval_id": "e1", "result": 1})
    assert value(bus, "evaluations.completed") == 1
    assert handlers.counters()["completed"] == 1
    assert handlers.metrics.get("evaluations.active") is not None
