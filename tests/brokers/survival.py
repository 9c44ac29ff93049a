"""What every broker's failures are survived by: the scenarios, for any adapter on a real server.

After each: no acknowledged event is lost, none is there twice, each subject's are in order.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from pathlib import Path

from eventbus import Event
from eventbus.errors import BrokerAwayError
from tests.brokers.buses import Joined
from tests.brokers.load import Load, check_complete, first_occurrences, recorded_numbers
from tests.brokers.stages import KafkaStage, RabbitMqStage, run
from tests.helpers.server import ServerProcess
from tests.helpers.waiting import wait_until

RECOVERY_S = 60.0
RealStage = RabbitMqStage | KafkaStage


def survive(
    stage: RealStage, folder: Path, harm: Callable[[Load], None], options: str = ""
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
            goes_on(load, 100)
        assert load.failed == 0, "a broker that fails must not make publishing fail"
        wait_until(lambda: a.relay_state() == (0, 0), "all are sent", RECOVERY_S)
        wait_until(lambda: b.bridge.status().taken >= load.count, "all have come", RECOVERY_S)
        assert b.bus.drain(RECOVERY_S)
        check_complete(load.acknowledged, recorded_numbers(folder / "b.db", "test.made"))
        assert len([event for event in b.seen.events if event.type == "test.made"]) == load.count
        assert not b.bus.log.delivery_counts().get("dead", 0)
    finally:
        a.close()
        b.close()


def goes_on(load: Load, count: int) -> None:
    """Wait until so many more events were acknowledged."""
    before = load.count
    wait_until(lambda: load.count > before + count, "publishing goes on", RECOVERY_S)


def kill_app_taking_in(stage: RealStage, folder: Path, variables: dict[str, str]) -> None:
    """The app is killed again and again while events come in; each has its effects once."""
    count = 1_500

    async def publish() -> None:
        link = await stage.broker(take=()).connect()
        for start in range(0, count, 100):
            await link.publish([
                Event.create(
                    f"evaluation.{step}", {"eval_id": f"e{n}", "task": "math", "n": n},
                    source="/runner", id=f"{n}-{step}",
                )
                for n in range(start, start + 100)
                for step in ("started", "completed")
            ])  # fmt: skip
        await link.close()

    with ServerProcess(folder, **variables) as server:
        stage.broker("app")  # so that its queue is cleared away
        wait_until(
            lambda: server.api.get("/readyz").json["broker"]["state"] == "connected",
            "it is connected", RECOVERY_S,
        )  # fmt: skip
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


def taken(server: ServerProcess) -> int:
    """How many events of the runner are in the log, whatever process is running."""
    return sum(
        len(numbers)
        for step in ("started", "completed")
        for numbers in recorded_numbers(server.database, f"evaluation.{step}").values()
    )


def kill_app_sending_out(stage: RealStage, folder: Path, variables: dict[str, str]) -> None:
    """The app is killed again and again while it sends; all that it acknowledged goes out."""
    heard: list[tuple[str, int]] = []

    async def listen(is_ready: threading.Event, until: threading.Event) -> None:
        from tests.brokers.stages import event_of

        link = await stage.broker("ear").connect()
        is_ready.set()
        while not until.is_set():
            try:
                async with asyncio.timeout(0.2):
                    messages = await link.receive()
            except TimeoutError:
                continue
            except BrokerAwayError:
                break
            for event in map(event_of, messages):
                if event.type == "test.made":
                    heard.append((event.subject, event["n"]))
            await link.acknowledge(messages)
        await link.close()

    with ServerProcess(folder, **variables) as server:
        stage.broker("app")
        is_ready, until = threading.Event(), threading.Event()
        listening = threading.Thread(target=lambda: asyncio.run(listen(is_ready, until)))
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
                goes_on(load, 150)
                server.kill9()
                server.start()
            goes_on(load, 50)

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
