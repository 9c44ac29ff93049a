"""Fixtures of the broker tests: real servers when they run, and a stage for each adapter."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.brokers.stages import InProcessStage, KafkaStage, RabbitMqStage, Stage, opened
from tests.services import ROOT, Kafka, RabbitMq

ADAPTERS = ("in-process", "rabbitmq", "kafka")


_SERVED = {"rabbitmq", "rabbit", "kafka", "stage", "server", "node"}  # fixtures on a server


def running_rabbitmq() -> RabbitMq:
    """The server that `make services` has started; skips the test when there is none."""
    server = RabbitMq(ROOT / RabbitMq.name)
    if not server.is_running:
        pytest.skip("RabbitMQ does not run here; `make services` starts it")
    return server


def running_kafka() -> Kafka:
    """The same of Kafka."""
    server = Kafka(ROOT / Kafka.name)
    if not server.is_running:
        pytest.skip("Kafka does not run here; `make services` starts it")
    return server


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Skip what needs a server that does not run; by marks, so that each file is told in a line."""
    absent: dict[str, str] = {}
    for name, find in (("rabbitmq", running_rabbitmq), ("kafka", running_kafka)):
        try:
            find()
        except pytest.skip.Exception as told:
            absent[name] = str(told)
    for item in items:
        if item.path.parent != Path(__file__).parent:
            continue
        stage = getattr(item, "callspec", None) and item.callspec.params.get("stage")  # type: ignore[attr-defined]
        for name, reason in absent.items():
            is_for_it = item.path.stem.startswith(f"test_{name}")
            if stage == name or (is_for_it and _SERVED & set(item.fixturenames)):  # type: ignore[attr-defined]
                item.add_marker(pytest.mark.skip(reason=reason))


@pytest.fixture
def kafka() -> Kafka:
    return running_kafka()


@pytest.fixture
def rabbitmq() -> RabbitMq:
    return running_rabbitmq()


@pytest.fixture(params=ADAPTERS)
def stage(request: pytest.FixtureRequest) -> Iterator[Stage]:
    """Each adapter in turn."""
    made: Stage
    if request.param == "rabbitmq":
        made = RabbitMqStage(running_rabbitmq().url)
    elif request.param == "kafka":
        made = KafkaStage(running_kafka().url)
    else:
        made = InProcessStage()
    with opened(made):
        yield made
