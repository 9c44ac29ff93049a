"""RabbitMQ that fails under load: stopped, killed, cut off, frozen; and our own end in the middle.

On a server of its own, which other tests do not need. After each failure: no acknowledged event
is lost, none is there twice, each subject's are in order.
"""

from __future__ import annotations

import asyncio
import json
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import aio_pika
import pytest
from aio_pika import ExchangeType, Message

from tests.brokers.buses import Joined
from tests.brokers.conftest import running_rabbitmq
from tests.brokers.load import Load, check_complete, first_occurrences, recorded_numbers
from tests.brokers.stages import RabbitMqStage, opened, run
from tests.helpers.proxy import Proxy
from tests.helpers.server import ServerProcess
from tests.helpers.waiting import wait_until
from tests.services import RabbitMq

RECOVERY_S = 60.0


@pytest.fixture(scope="module")
def own_rabbitmq(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RabbitMq]:
    running_rabbitmq()  # where the shared one runs, this one can
    server = RabbitMq(tmp_path_factory.mktemp("rabbitmq"))
    server.start()
    try:
        yield server
    finally:
        server.kill()
        server.stop()


def survive(
    stage: RabbitMqStage, folder: Path, harm: Callable[[Load], None], options: str = ""
) -> None:
    """A bus publishes to another under load while ``harm`` is done; then all is there."""
    a = Joined(stage, folder, "a", broker=stage.broker("a", options=options))
    b = Joined(stage, folder, "b", broker=stage.broker("b", options=options))
    try:
        for each in (a, b):
            each.wait_connected()

        def publish(subject: str, n: int) -> None:
            a.bus.publish("test.made", {"n": n}, subject=subject).wait(10.0)

        with Load(publish) as load:
            wait_until(lambda: load.count > 100, "the load is on", RECOVERY_S)
            harm(load)
            before = load.count
            wait_until(lambda: load.count > before + 100, "it goes on after that", RECOVERY_S)
        assert load.failed == 0, "a broker that fails must not make publishing fail"
        wait_until(lambda: a.relay_state() == (0, 0), "all are sent", RECOVERY_S)
        wait_until(
            lambda: b.bridge.status().taken >= load.count, "all have come", RECOVERY_S
        )  # fmt: skip
        assert b.bus.drain(RECOVERY_S)
        check_complete(load.acknowledged, recorded_numbers(folder / "b.db", "test.made"))
        handled = [event for event in b.seen.events if event.type == "test.made"]
        assert len(handled) == load.count
        assert not b.bus.log.delivery_counts().get("dead", 0)
    finally:
        a.close()
        b.close()


def test_the_server_is_stopped_and_started_under_load(
    own_rabbitmq: RabbitMq, tmp_path: Path
) -> None:
    def harm(load: Load) -> None:
        own_rabbitmq.stop()
        before = load.count
        wait_until(lambda: load.count > before + 200, "publishing goes on", RECOVERY_S)
        own_rabbitmq.start()

    with opened(RabbitMqStage(own_rabbitmq.url)) as stage:
        survive(stage, tmp_path, harm)


def test_the_server_crashes_under_load(own_rabbitmq: RabbitMq, tmp_path: Path) -> None:
    def harm(load: Load) -> None:
        # RabbitMQ 3.10 forgets a quorum queue that was made in the second before a crash: its
        # name is known and nothing answers. That is its fault, and no load makes it better.
        time.sleep(4.0)
        own_rabbitmq.kill()
        own_rabbitmq.start()

    with opened(RabbitMqStage(own_rabbitmq.url)) as stage:
        survive(stage, tmp_path, harm)


def test_all_connections_are_closed_by_the_server_again_and_again(
    own_rabbitmq: RabbitMq, tmp_path: Path
) -> None:
    def harm(load: Load) -> None:
        for _ in range(3):
            before = load.count
            own_rabbitmq.ctl("close_all_connections", "by a test")
            wait_until(lambda before=before: load.count > before + 100, "it goes on", RECOVERY_S)

    with opened(RabbitMqStage(own_rabbitmq.url)) as stage:
        survive(stage, tmp_path, harm)


def test_the_network_breaks_and_then_says_nothing_at_all(
    own_rabbitmq: RabbitMq, tmp_path: Path
) -> None:
    with Proxy(own_rabbitmq.port) as proxy:

        def harm(load: Load) -> None:
            for _ in range(5):
                before = load.count
                proxy.cut()
                wait_until(lambda before=before: load.count > before + 50, "it goes on", RECOVERY_S)
            # No end of the connection comes: only the missing heartbeats tell of it.
            proxy.is_frozen = True
            before = load.count
            wait_until(lambda: load.count > before + 300, "publishing goes on", RECOVERY_S)
            time.sleep(5.0)
            proxy.is_frozen = False
            proxy.cut()

        stage = RabbitMqStage(f"amqp://guest:guest@127.0.0.1:{proxy.port}/")
        with opened(stage):
            survive(stage, tmp_path, harm, "&heartbeat=1")


# -- our own end -----------------------------------------------------------------------------


def variables(stage: RabbitMqStage) -> dict[str, str]:
    return {"EVENTBUS_BROKER_URL": stage.url, "EVENTBUS_BROKER_NAME": stage.queue("app")}


def test_the_app_is_killed_while_it_takes_events_in(own_rabbitmq: RabbitMq, tmp_path: Path) -> None:
    count = 1_500

    async def publish() -> None:
        async with await aio_pika.connect(stage.server_url) as connection:
            channel = await connection.channel()
            exchange = await channel.declare_exchange(
                stage.prefix, ExchangeType.TOPIC, durable=True
            )
            for start in range(0, count, 100):
                sending = []
                for n in range(start, start + 100):
                    for step in ("started", "completed"):
                        message = evaluation_message(n, step)
                        sending.append(exchange.publish(message, f"evaluation.{step}"))
                await asyncio.gather(*sending)

    with (
        opened(RabbitMqStage(own_rabbitmq.url)) as stage,
        ServerProcess(tmp_path, **variables(stage)) as server,
    ):
        stage.broker("app")  # so that its queue is cleared away
        publishing = threading.Thread(target=lambda: run(publish()))
        publishing.start()
        for part in (200, 900, 1_600):
            wait_until(lambda part=part: taken(server) > part, "some came in", RECOVERY_S)
            server.kill9()
            server.start()
        publishing.join()
        wait_until(lambda: taken(server) == 2 * count, "all came in", RECOVERY_S)

        def counters() -> tuple[int, int]:
            found = server.api.get("/api/stats").json["counters"]
            return found["completed"], found["active"]

        wait_until(lambda: counters() == (count, 0), "each has its effects once", RECOVERY_S)
        found = recorded_numbers(server.database, "evaluation.completed")
        check_complete({f"e{n}": [n] for n in range(count)}, found)
        assert server.api.get("/api/stats").json["counters"]["dead_letters"] == 0


def evaluation_message(n: int, step: str) -> Message:
    attributes = {
        "specversion": "1.0", "id": f"{n}-{step}", "source": "/runner",
        "type": f"evaluation.{step}",
    }  # fmt: skip
    return Message(
        json.dumps({"eval_id": f"e{n}", "task": "math", "n": n}).encode(),
        content_type="application/json",
        delivery_mode=2,
        headers={f"cloudEvents:{name}": value for name, value in attributes.items()},
    )


def taken(server: ServerProcess) -> int:
    """How many events of the runner are in the log, whatever process is running."""
    return sum(
        len(numbers)
        for step in ("started", "completed")
        for numbers in recorded_numbers(server.database, f"evaluation.{step}").values()
    )


def test_the_app_is_killed_while_it_sends_events_out(
    own_rabbitmq: RabbitMq, tmp_path: Path
) -> None:
    heard: list[tuple[str, int]] = []

    async def listen(is_ready: threading.Event, until: threading.Event) -> None:
        async with await aio_pika.connect(stage.server_url) as connection:
            channel = await connection.channel()
            exchange = await channel.declare_exchange(
                stage.prefix, ExchangeType.TOPIC, durable=True
            )
            queue = await channel.declare_queue(exclusive=True)
            await queue.bind(exchange, "test.made")

            async def hear(message: aio_pika.abc.AbstractIncomingMessage) -> None:
                subject = str(message.headers["cloudEvents:subject"])
                heard.append((subject, json.loads(message.body)["n"]))

            await queue.consume(hear, no_ack=True)
            is_ready.set()
            while not until.is_set():
                await asyncio.sleep(0.05)

    with (
        opened(RabbitMqStage(own_rabbitmq.url)) as stage,
        ServerProcess(tmp_path, **variables(stage)) as server,
    ):
        stage.broker("app")
        is_ready, until = threading.Event(), threading.Event()
        listening = threading.Thread(target=lambda: run(listen(is_ready, until)))
        listening.start()
        assert is_ready.wait(RECOVERY_S)
        apis = threading.local()

        def publish(subject: str, n: int) -> None:
            if getattr(apis, "port", None) != server.port:
                apis.port, apis.api = server.port, server.new_api()
            event = {"type": "test.made", "subject": subject, "data": {"n": n}}
            try:
                assert apis.api.post("/api/events", event).status == 202
            except BaseException:
                apis.port = None
                raise

        with Load(publish, threads=4) as load:
            for _ in range(3):
                before = load.count
                wait_until(lambda before=before: load.count > before + 150, "load", RECOVERY_S)
                server.kill9()
                server.start()
            before = load.count
            wait_until(lambda: load.count > before + 50, "it goes on", RECOVERY_S)

        def unheard() -> int:
            there = first_occurrences(list(heard))
            return sum(
                len(set(numbers) - set(there.get(subject, [])))
                for subject, numbers in load.acknowledged.items()
            )

        wait_until(lambda: unheard() == 0, "every acknowledged event went out", RECOVERY_S)
        until.set()
        listening.join()
        check_complete(load.acknowledged, first_occurrences(heard))
        found = server.api.get("/readyz").json
        assert (found["status"], found["broker"]["state"]) == ("ready", "connected")


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
