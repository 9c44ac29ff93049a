"""RabbitMQ that fails under load: stopped, killed, cut off, frozen; and our own end in the middle.

On a server of its own, which other tests do not need.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.brokers.conftest import running_rabbitmq
from tests.brokers.load import Load
from tests.brokers.stages import RabbitMqStage, opened
from tests.brokers.survival import (
    RECOVERY_S,
    goes_on,
    kill_app_sending_out,
    kill_app_taking_in,
    survive,
)
from tests.helpers.databases import skip_in_container
from tests.helpers.proxy import Proxy
from tests.helpers.server import ServerProcess
from tests.helpers.waiting import wait_until
from tests.services import RabbitMq


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RabbitMq]:
    running_rabbitmq()  # where the shared one runs, this one can
    server = RabbitMq(tmp_path_factory.mktemp("rabbitmq"))
    skip_in_container(server)
    server.start()
    try:
        yield server
    finally:
        server.kill()
        server.stop()


@pytest.fixture
def stage(server: RabbitMq) -> Iterator[RabbitMqStage]:
    with opened(RabbitMqStage(server.url)) as stage:
        yield stage


def test_the_server_is_stopped_and_started_under_load(
    server: RabbitMq, stage: RabbitMqStage, tmp_path: Path
) -> None:
    def harm(load: Load) -> None:
        server.stop()
        goes_on(load, 200)
        server.start()

    survive(stage, tmp_path, harm)


def test_the_server_crashes_under_load(
    server: RabbitMq, stage: RabbitMqStage, tmp_path: Path
) -> None:
    def harm(load: Load) -> None:
        # RabbitMQ 3.10 forgets a quorum queue that was made in the second before a crash: its
        # name is known and nothing answers. That is its fault, and no load makes it better.
        time.sleep(4.0)
        server.kill()
        server.start()

    survive(stage, tmp_path, harm)


def test_all_connections_are_closed_by_the_server_again_and_again(
    server: RabbitMq, stage: RabbitMqStage, tmp_path: Path
) -> None:
    def harm(load: Load) -> None:
        for _ in range(3):
            server.ctl("close_all_connections", "by a test")
            goes_on(load, 100)

    survive(stage, tmp_path, harm)


def test_the_network_breaks_and_then_says_nothing_at_all(server: RabbitMq, tmp_path: Path) -> None:
    with Proxy(server.port) as proxy:

        def harm(load: Load) -> None:
            for _ in range(5):
                proxy.cut()
                goes_on(load, 50)
            # No end of the connection comes: only the missing heartbeats tell of it.
            proxy.is_frozen = True
            goes_on(load, 300)
            time.sleep(5.0)
            proxy.is_frozen = False
            proxy.cut()

        with opened(RabbitMqStage(f"amqp://guest:guest@127.0.0.1:{proxy.port}/")) as stage:
            survive(stage, tmp_path, harm, "&heartbeat=1")


# -- our own end -----------------------------------------------------------------------------


def variables(stage: RabbitMqStage) -> dict[str, str]:
    return {"EVENTBUS_BROKER_URL": stage.url, "EVENTBUS_BROKER_NAME": stage.queue("app")}


def test_the_app_is_killed_while_it_takes_events_in(stage: RabbitMqStage, tmp_path: Path) -> None:
    kill_app_taking_in(stage, tmp_path, variables(stage))


def test_the_app_is_killed_while_it_sends_events_out(stage: RabbitMqStage, tmp_path: Path) -> None:
    kill_app_sending_out(stage, tmp_path, variables(stage))


def test_the_dashboard_and_the_health_check_say_that_the_broker_is_away(tmp_path: Path) -> None:
    address = "amqp://guest:guest@127.0.0.1:1/"
    with ServerProcess(tmp_path, EVENTBUS_BROKER_URL=address) as server:
        for n in range(3):
            assert server.api.post("/api/events", {"type": "test.made", "data": {"n": n}}).status
        ready = wait_until(
            lambda: (
                (found := server.api.get("/readyz"))
                and found.json.get("broker", {}).get("waiting") == 3
                and found
            ),
            "it is counted",
            RECOVERY_S,
        )
        assert ready.status == 200, "the app can do its work"
        assert ready.json["broker"]["state"] == "away"
        page = server.api.get("/").text
        assert "the broker amqp://127.0.0.1:1 is away" in page
        assert "3 events wait to be sent" in page
        assert "guest" not in page
        subscriptions = server.api.get("/api/subscriptions").json["subscriptions"]
        (relay,) = (each for each in subscriptions if each["name"] == "broker-relay")
        assert relay["lag"] == 3
