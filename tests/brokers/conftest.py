"""Fixtures of the broker tests: real servers when they run, and a stage for each adapter."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.brokers.stages import InProcessStage, Stage, opened, rabbitmq_stage
from tests.services import ROOT, RabbitMq

ADAPTERS = ("in-process", "rabbitmq")


def running_rabbitmq() -> RabbitMq:
    """The server that `make services` has started; skips the test when there is none."""
    server = RabbitMq(Path(os.environ.get("EVENTBUS_TEST_SERVICES", ROOT)) / RabbitMq.name)
    if not server.is_running:
        pytest.skip("RabbitMQ does not run here; `make services` starts it")
    return server


@pytest.fixture
def rabbitmq() -> RabbitMq:
    return running_rabbitmq()


@pytest.fixture(params=ADAPTERS)
def stage(request: pytest.FixtureRequest) -> Iterator[Stage]:
    """Each adapter in turn."""
    made = InProcessStage() if request.param == "in-process" else rabbitmq_stage(running_rabbitmq())
    with opened(made):
        yield made
