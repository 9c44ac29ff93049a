"""Kafka that fails under load: stopped, killed, cut off, the group shared out; and our own end.

On a server of its own, which other tests do not need. Clients reach it through a proxy that can
break their connections.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.brokers.conftest import running_kafka
from tests.brokers.load import Load
from tests.brokers.stages import KafkaStage, opened, receive
from tests.brokers.survival import goes_on, kill_app_sending_out, kill_app_taking_in, survive
from tests.helpers.databases import skip_in_container
from tests.helpers.proxy import Proxy
from tests.services import Kafka
from tests.services.service import kept_ports


@pytest.fixture(scope="module")
def node(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Kafka, Proxy]]:
    running_kafka()  # where the shared one runs, this one can
    root = tmp_path_factory.mktemp("kafka")
    with Proxy(kept_ports(root, "client", "controller")["client"]) as proxy:
        server = Kafka(root, advertised=proxy.port)
        skip_in_container(server)
        server.start()
        try:
            yield server, proxy
        finally:
            server.kill()


@pytest.fixture
def stage(node: tuple[Kafka, Proxy]) -> Iterator[KafkaStage]:
    with opened(KafkaStage(f"kafka://127.0.0.1:{node[1].port}")) as stage:
        yield stage


def test_the_server_is_stopped_and_started_under_load(
    node: tuple[Kafka, Proxy], stage: KafkaStage, tmp_path: Path
) -> None:
    def harm(load: Load) -> None:
        node[0].stop()
        goes_on(load, 200)
        node[0].start()

    survive(stage, tmp_path, harm)


def test_the_server_crashes_under_load(
    node: tuple[Kafka, Proxy], stage: KafkaStage, tmp_path: Path
) -> None:
    def harm(load: Load) -> None:
        node[0].kill()
        node[0].start()

    survive(stage, tmp_path, harm)


def test_the_network_breaks_again_and_again(
    node: tuple[Kafka, Proxy], stage: KafkaStage, tmp_path: Path
) -> None:
    def harm(load: Load) -> None:
        for _ in range(5):
            node[1].cut()
            goes_on(load, 100)

    survive(stage, tmp_path, harm)


def test_the_group_is_shared_out_again_and_again_under_load(
    stage: KafkaStage, tmp_path: Path
) -> None:
    async def come_and_go() -> None:
        """Take a share, receive from it, acknowledge nothing, and leave."""
        link = await stage.broker("b").connect()
        await receive(link, 1, acknowledge=False)
        await link.close()

    def harm(load: Load) -> None:
        for _ in range(4):
            asyncio.run(come_and_go())
            goes_on(load, 50)

    survive(stage, tmp_path, harm)


def variables(stage: KafkaStage) -> dict[str, str]:
    return {"EVENTBUS_BROKER_URL": stage.url, "EVENTBUS_BROKER_NAME": stage.group("app")}


def test_the_app_is_killed_while_it_takes_events_in(stage: KafkaStage, tmp_path: Path) -> None:
    kill_app_taking_in(stage, tmp_path, variables(stage))


def test_the_app_is_killed_while_it_sends_events_out(stage: KafkaStage, tmp_path: Path) -> None:
    kill_app_sending_out(stage, tmp_path, variables(stage))
