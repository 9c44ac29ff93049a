"""Two processes of the app on one log beside a real broker, one killed again and again.

Each subject's events stay in order on both ways, nothing is lost, nothing doubled.
"""

from __future__ import annotations

import asyncio
import threading
from collections import Counter, defaultdict
from collections.abc import Iterator
from contextlib import ExitStack
from http.client import HTTPException
from pathlib import Path

import psycopg
import pytest

from eventbus import Event
from tests.brokers.load import SUBJECTS, Load, check_complete, first_occurrences
from tests.brokers.stages import KafkaStage, RabbitMqStage, event_of, run
from tests.brokers.survival import RECOVERY_S, goes_on
from tests.helpers.databases import schemas
from tests.helpers.server import ServerProcess
from tests.helpers.waiting import wait_until

COUNT = 1_000
RealStage = RabbitMqStage | KafkaStage


@pytest.fixture
def url() -> Iterator[str]:
    with schemas().lent() as url:
        yield url


@pytest.fixture
def pair(stage: RealStage, url: str, tmp_path: Path) -> Iterator[list[ServerProcess]]:
    """Two identical processes, connected."""
    name = (stage.queue if isinstance(stage, RabbitMqStage) else stage.group)("app")
    stage.broker("app")  # so that its queue is cleared away
    with ExitStack() as running:
        servers = []
        for each in ("one", "two"):
            (tmp_path / each).mkdir()
            servers.append(running.enter_context(ServerProcess(
                tmp_path / each, EVENTBUS_DATABASE_URL=url, EVENTBUS_FILES=str(tmp_path / "files"),
                EVENTBUS_BROKER_URL=stage.url, EVENTBUS_BROKER_NAME=name,
            )))  # fmt: skip
            wait_connected(servers[-1])
        yield servers


@pytest.mark.parametrize("stage", ["rabbitmq", "kafka"], indirect=True)
def test_two_processes_keep_every_subject_in_order_also_when_one_is_killed(
    stage: RealStage, pair: list[ServerProcess], url: str
) -> None:
    local = threading.local()

    def publish(subject: str, n: int) -> None:
        """At the one or the other, as behind a load balancer."""
        server = pair[n % 2]
        apis = local.__dict__.setdefault("apis", {})
        api = apis.get(server.port) or apis.setdefault(server.port, server.new_api())
        event = {"type": "test.out", "subject": subject, "data": {"n": n}}
        try:
            assert api.post("/api/events", event).status == 202
        except (OSError, HTTPException):
            del apis[server.port]
            raise OSError from None

    with Ear(stage) as ear, Load(publish, threads=2) as load:
        feeding = threading.Thread(target=lambda: run(feed(stage)))
        feeding.start()
        for part in (200, 700):
            wait_until(lambda part=part: taken(url) > part, "some came in", RECOVERY_S)
            most = max(pair, key=lambda server: status(server)["taken"])
            most.kill9()
            goes_on(load, 20)
            most.start()
            wait_connected(most)
        feeding.join()
        goes_on(load, 20)
        load.stop()
        wait_until(lambda: taken(url) >= 2 * COUNT, "all came in", RECOVERY_S)
        wait_until(lambda: ear.lacks(load.acknowledged) == 0, "all went out", RECOVERY_S)
        wait_until(lambda: effects(pair[0]) == (COUNT, 0), "each has its effects once", RECOVERY_S)
    check_complete(
        {f"s{s}": list(range(s, COUNT, SUBJECTS)) for s in range(SUBJECTS)},
        recorded(url, "test.made"),
    )
    check_complete(load.acknowledged, recorded(url, "test.out"))
    check_complete(load.acknowledged, first_occurrences(ear.heard))
    assert {server.new_api().counters()["dead_letters"] for server in pair} == {0}
    # What came in went out again by neither.
    assert set(Counter(ear.others).values()) == {1}
    assert len(ear.others) == 2 * COUNT


async def feed(stage: RealStage) -> None:
    """A service beside the bus: numbered events of few subjects, and evaluations that complete."""
    link = await stage.broker(take=()).connect()
    for start in range(0, COUNT, 50):
        await link.publish([
            made
            for n in range(start, start + 50)
            for made in (
                Event.create(
                    "test.made", {"n": n}, source="/feed", id=f"m{n}", subject=f"s{n % SUBJECTS}"
                ),
                Event.create("evaluation.completed", {"eval_id": f"e{n}"}, source="/feed",
                             id=f"e{n}"),
            )
        ])  # fmt: skip
    await link.close()


class Ear:
    """Hears all that is published, on a queue of its own, in a thread."""

    def __init__(self, stage: RealStage) -> None:
        self.heard: list[tuple[str, int]] = []
        self.others: list[str] = []
        self._stage = stage
        self._is_ready = threading.Event()
        self._ends = threading.Event()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._listen()))

    def __enter__(self) -> Ear:
        self._thread.start()
        assert self._is_ready.wait(RECOVERY_S)
        return self

    def __exit__(self, *_: object) -> None:
        self._ends.set()
        self._thread.join()

    def lacks(self, wanted: dict[str, list[int]]) -> int:
        there: dict[str, set[int]] = defaultdict(set)
        for subject, n in list(self.heard):
            there[subject].add(n)
        return sum(len(set(numbers) - there[subject]) for subject, numbers in wanted.items())

    async def _listen(self) -> None:
        link = await self._stage.broker("ear").connect()
        self._is_ready.set()
        while not self._ends.is_set():
            try:
                async with asyncio.timeout(0.2):
                    messages = await link.receive()
            except TimeoutError:
                continue
            for event in map(event_of, messages):
                if event.type == "test.out":
                    self.heard.append((event.subject, event["n"]))
                elif event.source == "/feed":
                    self.others.append(event.id)
            await link.acknowledge(messages)
        await link.close()


def status(server: ServerProcess) -> dict[str, int]:
    found: dict[str, int] = server.new_api().get("/readyz").json["broker"]
    return found


def wait_connected(server: ServerProcess) -> None:
    wait_until(lambda: status(server)["state"] == "connected", "it is connected", RECOVERY_S)


def effects(server: ServerProcess) -> tuple[int, int]:
    found = server.new_api().counters()  # an old connection may have ended, being idle
    return found["completed"], found["active"]


def taken(url: str) -> int:
    with psycopg.connect(url) as conn:
        row = conn.execute("SELECT count(*) FROM events WHERE source = '/feed'").fetchone()
    assert row is not None
    return int(row[0])


def recorded(url: str, type: str) -> dict[str, list[int]]:
    """What the log has of a type: the numbers by subject in the order of the log, read past us."""
    found: dict[str, list[int]] = defaultdict(list)
    with psycopg.connect(url) as conn:
        rows = conn.execute(
            "SELECT subject, (data::json->>'n')::int FROM events WHERE type = %s ORDER BY sequence",
            (type,),
        )
        for subject, n in rows:
            found[subject].append(n)
    return found
