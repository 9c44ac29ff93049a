"""PostgreSQL that fails under load: stopped, killed, connections cut, the answer to a COMMIT lost.

On a server of its own, which other tests do not need. After each: every acknowledged event is in
the log, once, without a hole in the sequences, and each had its effects once.
"""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from urllib.parse import quote

import pytest
from sqlalchemy import Connection, text

from eventbus import Event, EventBus
from eventbus.errors import LogError, LogReadError, LogWriteError
from eventbus.log import ddl
from tests.helpers.bus import open_bus
from tests.helpers.databases import own_postgresql
from tests.helpers.proxy import Proxy
from tests.helpers.waiting import wait_until
from tests.services import Postgresql

RECOVERY_S = 60.0
PUBLISHERS = 4


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Postgresql]:
    with own_postgresql(tmp_path_factory.mktemp("postgresql")) as server:
        yield server


@pytest.fixture
def schema(server: Postgresql, request: pytest.FixtureRequest) -> str:
    name = f"test_{abs(hash(request.node.name))}"
    server.sql(f"CREATE SCHEMA {name}")
    return name


def url_in(server: Postgresql, schema: str, port: int | None = None) -> str:
    return f"postgresql://eventbus@127.0.0.1:{port or server.port}/eventbus?options=" + quote(
        f"-csearch_path={schema}"
    )


class Load:
    """Threads that publish, each event until it is acknowledged; a context manager."""

    def __init__(self, bus: EventBus) -> None:
        self._bus = bus
        self._closing = threading.Event()
        self._threads = [
            threading.Thread(target=self._run, args=(number,)) for number in range(PUBLISHERS)
        ]
        self.acknowledged: list[str] = []
        self.refused: list[LogWriteError] = []
        self.others: list[BaseException] = []

    def __enter__(self) -> Load:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._closing.set()
        for thread in self._threads:
            thread.join(RECOVERY_S)

    def goes_on(self, count: int = 100) -> None:
        before = len(self.acknowledged)
        wait_until(
            lambda: len(self.acknowledged) > before + count, "publishing goes on", RECOVERY_S
        )

    def _run(self, publisher: int) -> None:
        number = 0
        while not self._closing.is_set() and not self.others:
            id = f"{publisher}-{number}"
            try:
                self._bus.publish("work", {"n": number}, id=id, subject=f"s{number % 7}").wait()
            except LogWriteError as error:
                self.refused.append(error)
                self._closing.wait(0.05)
                continue
            except BaseException as error:
                self.others.append(error)
                return
            self.acknowledged.append(id)
            number += 1


def count(conn: Connection, ids: list[str]) -> None:
    for id in ids:
        conn.execute(text("INSERT INTO handled VALUES (:id)"), {"id": id})


@contextmanager
def working_bus(url: str) -> Iterator[EventBus]:
    """A bus with a handler that writes down each event, and a table for that."""
    with open_bus(url) as bus:
        bus.log.migrate("handled", [lambda conn: ddl.run(conn, "CREATE TABLE handled (id TEXT)")])

        def handle(event: Event) -> None:
            bus.effect(count, event.id)

        bus.subscribe("work", handle, name="worker", concurrency=4, max_attempts=100)
        yield bus


def check(server: Postgresql, schema: str, bus: EventBus, load: Load) -> None:
    """By the server's own tool: what is there is what was acknowledged, and its effects."""
    assert load.others == []
    wait_until(
        lambda: bus.log.delivery_counts() == {"pending": 0, "retrying": 0, "dead": 0},
        "all is handled", RECOVERY_S,
    )  # fmt: skip

    def column(statement: str) -> list[str]:
        return server.sql(f"SET search_path = {schema}; {statement}").split()

    ids = column("SELECT id FROM events WHERE type = 'work' ORDER BY sequence")
    assert Counter(load.acknowledged).most_common(1)[0][1] == 1
    lost = set(load.acknowledged) - set(ids)
    assert not lost, f"{len(lost)} acknowledged events are not in the log: {sorted(lost)[:5]}"
    # Publishers that end may leave one each that was recorded and never acknowledged.
    assert len(ids) - len(load.acknowledged) <= PUBLISHERS
    assert Counter(column("SELECT id FROM handled")) == Counter(ids), "effects exactly once"
    sequences = [int(n) for n in column("SELECT sequence FROM events ORDER BY sequence")]
    assert sequences == list(range(1, len(sequences) + 1))
    assert bus.log.last_sequence == len(sequences)
    assert set(column("SELECT state FROM deliveries")) == {"succeeded"}


def test_a_server_that_is_stopped_refuses_and_one_that_comes_back_goes_on(
    server: Postgresql, schema: str
) -> None:
    with working_bus(url_in(server, schema)) as bus:
        with Load(bus) as load:
            load.goes_on()
            server.stop()
            wait_until(lambda: len(load.refused) > 10, "publishing is refused", RECOVERY_S)
            with pytest.raises(LogReadError):
                bus.log.read(0)
            with pytest.raises(LogReadError):
                bus.log.delivery_counts()
            assert "storage" in [trouble.part for trouble in bus.troubles()]
            for error in load.refused:  # but what was in a COMMIT then
                assert "nothing was recorded" in str(error) or "not known whether" in str(error)
            assert "nothing was recorded" in str(load.refused[-1])
            server.start()
            load.goes_on()
        check(server, schema, bus, load)
        assert bus.troubles() == []


def test_a_server_that_crashes_loses_nothing(server: Postgresql, schema: str) -> None:
    with working_bus(url_in(server, schema)) as bus:
        with Load(bus) as load:
            for _ in range(2):
                load.goes_on()
                server.kill()
                time.sleep(0.2)  # the crash comes at another moment of a commit each time
                server.start()
            load.goes_on()
        check(server, schema, bus, load)


def test_connections_that_are_cut_are_made_anew(server: Postgresql, schema: str) -> None:
    with working_bus(url_in(server, schema)) as bus:
        with Load(bus) as load:
            for _ in range(10):
                load.goes_on(20)
                server.sql(
                    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
                    "WHERE application_name = 'eventbus'"
                )
            load.goes_on()
        check(server, schema, bus, load)


def test_the_answer_to_a_commit_is_lost(server: Postgresql, schema: str) -> None:
    with Proxy(server.port) as proxy, working_bus(url_in(server, schema, proxy.port)) as bus:
        with Load(bus) as load:
            for _ in range(10):
                load.goes_on(20)
                proxy.unanswered = b"COMMIT"
                wait_until(lambda: proxy.unanswered is None, "a commit was made", RECOVERY_S)
            load.goes_on()
        assert load.refused == [], "it was found out that they are recorded"
        check(server, schema, bus, load)


def test_a_server_that_is_away_at_the_start_is_told(server: Postgresql, schema: str) -> None:
    server.stop()
    try:
        with pytest.raises(LogError, match="cannot open the log"):
            open_bus(url_in(server, schema))
    finally:
        server.start()
    with suppress(LogError), open_bus(url_in(server, schema)) as bus:
        assert bus.publish("a").event.sequence == 1
