"""What fails under processes that share a log: their server, a connection, one of them for a while.

On a server of its own. After each: effects exactly once, no acknowledged event lost, and to every
process all events once, in order.
"""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Any

import psycopg
import pytest
from sqlalchemy import Connection, text

from eventbus import Event, EventBus
from eventbus.log import EventLog, Selection
from eventbus.log.head import MISSED
from eventbus.log.unit import Unit
from tests.helpers.databases import own_postgresql
from tests.helpers.waiting import wait_until
from tests.services import Postgresql
from tests.shared.conftest import Member
from tests.shared.member import QUICK_VARIABLE

LONG_S = 60.0
# The connections of leases: they alone have advisory locks for themselves.
_LEASES = "pid IN (SELECT pid FROM pg_locks WHERE locktype = 'advisory' AND mode = 'ExclusiveLock')"
_LISTENERS = "query LIKE 'LISTEN%'"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Postgresql]:
    with own_postgresql(tmp_path_factory.mktemp("postgresql")) as server:
        yield server


class Shared:
    """A log in a schema of its own, and the processes that share it."""

    def __init__(self, server: Postgresql, folder: Path, members: ExitStack) -> None:
        self._server = server
        self._folder = folder
        self._members = members
        with self.connect() as conn:
            conn.execute("DROP SCHEMA IF EXISTS log CASCADE; CREATE SCHEMA log")
        self.url = server.url_in("log")
        EventLog(self.url, folder).close()
        self.rows("CREATE TABLE done (sequence BIGINT, who TEXT)")

    def connect(self) -> psycopg.Connection[Any]:
        return psycopg.connect(self._server.url, autocommit=True)

    def start(self, name: str) -> Member:
        return self._members.enter_context(Member(self.url, self._folder, name))

    def open_bus(self) -> EventBus:
        bus = EventBus(EventLog(self.url, self._folder))
        self._members.callback(bus.close)
        return bus

    def rows(self, statement: str) -> list[Any]:
        with self.connect() as conn:
            conn.execute("SET search_path = log")
            cursor = conn.execute(statement)
            return cursor.fetchall() if cursor.description else []

    def column(self, statement: str) -> list[Any]:
        return [row[0] for row in self.rows(statement)]

    def cut(self, which: str) -> int:
        """End the connections that ``which`` is true of; gives how many."""
        return len(
            self.rows(
                f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
                f"WHERE application_name = 'eventbus' AND {which}"
            )
        )

    def settle(self) -> list[int]:
        """Wait until everything is handled; gives the sequences of what had to be."""
        unfinished = "SELECT count(*) FROM deliveries WHERE state IN ('pending', 'retrying')"
        wait_until(lambda: self.column(unfinished) == [0], "everything is handled", LONG_S)
        return self.column("SELECT sequence FROM events WHERE type = 'work.todo' ORDER BY 1")

    def check(self, *members: Member) -> None:
        """Effects once, sequences dense, and every process has seen each event once, in order."""
        work = self.settle()
        assert self.column("SELECT sequence FROM done ORDER BY 1") == work, "effects exactly once"
        sequences = self.column("SELECT sequence FROM events ORDER BY 1")
        assert sequences == list(range(1, len(sequences) + 1))
        for member in members:
            seen = member.ask(f"seen {sequences[-1]}")
            assert seen == list(range(seen[0], sequences[-1] + 1)), member.name
        serving = [member.name for member in members if member.ask("serves")]
        assert len(serving) == 1, f"served by {serving}"


@pytest.fixture
def shared(server: Postgresql, tmp_path: Path) -> Iterator[Shared]:
    with ExitStack() as members:
        yield Shared(server, tmp_path, members)


def crash(server: Postgresql) -> None:
    """Its immediate shutdown: nothing is written down, the next start recovers."""
    pid = server._server_pid()
    assert pid is not None
    os.kill(pid, signal.SIGQUIT)
    server.stop()
    (server._data / "postmaster.pid").unlink(missing_ok=True)


@pytest.mark.parametrize("stop", [Postgresql.stop, crash], ids=["fast", "immediate"])
def test_a_server_that_stops_under_two_processes_is_waited_for_by_both(
    server: Postgresql, shared: Shared, stop: Callable[[Postgresql], None]
) -> None:
    members = [shared.start("one"), shared.start("two")]
    for member in members:
        member.ask("storm")
    go_on(members)
    stop(server)
    wait_until(lambda: all(m.ask("told")["refused"] for m in members), "both refuse", LONG_S)
    server.start()
    go_on(members)
    acknowledged = 0
    for member in members:
        told = member.ask("calm")
        assert told["others"] == []
        acknowledged += told["acknowledged"]
        ids = {f"{member.name}-{number}" for number in range(told["acknowledged"])}
        assert ids <= set(shared.column("SELECT id FROM events")), "nothing acknowledged is lost"
    wait_until(lambda: sum(m.ask("serves") for m in members) == 1, "one of them serves", LONG_S)
    shared.check(*members)
    # Each may have one that was recorded and never acknowledged.
    assert 0 <= len(shared.settle()) - acknowledged <= len(members)


def go_on(members: list[Member], count: int = 20) -> None:
    before = [member.ask("told")["acknowledged"] for member in members]

    def have_gone_on() -> bool:
        now = [member.ask("told")["acknowledged"] for member in members]
        return all(n >= b + count for n, b in zip(now, before, strict=True))

    wait_until(have_gone_on, "publishing goes on", LONG_S)


@pytest.mark.parametrize("is_failing", [False, True], ids=["succeeds", "fails"])
def test_who_lost_his_lease_while_a_handler_runs_has_no_effect_after_the_next(
    shared: Shared, is_failing: bool
) -> None:
    one = shared.start("one")
    wait_until(lambda: one.ask("serves"), "the first serves")
    two = shared.start("two")
    # For longer than the second waits for what the first seems to have in a handler.
    data = {"slow_s": {"one": 5.0}, "fails": ["one"] if is_failing else []}
    work = shared.open_bus().publish("work.todo", data).event.sequence
    wait_until(lambda: one.ask("runs") == [work], "its handler runs")
    assert shared.cut(_LEASES) == 1, "the others hold none"
    wait_until(lambda: two.ask("serves"), "the second has taken over", LONG_S)
    wait_until(lambda: not one.ask("serves"), "the first has stopped", LONG_S)
    wait_until(lambda: not one.ask("running"), "its handler has ended", LONG_S)
    one.ask("publish 1 1")  # which is committed after how that ended
    shared.check(one, two)
    assert two.ask("runs")[0] == work, "it did not know that the first would end it"
    assert set(shared.rows("SELECT state, attempt FROM deliveries")) == {("succeeded", 1)}
    assert shared.rows("SELECT * FROM attempts") == []


@pytest.mark.parametrize("where", ["handler", "transaction"])
def test_a_process_that_freezes_is_given_up_and_does_no_harm_when_it_goes_on(
    shared: Shared, monkeypatch: pytest.MonkeyPatch, where: str
) -> None:
    monkeypatch.setenv(QUICK_VARIABLE, "1.5")
    one = shared.start("one")
    wait_until(lambda: one.ask("serves"), "the first serves")
    two = shared.start("two")
    bus = shared.open_bus()
    if where == "handler":
        work = bus.publish("work.todo", {"slow_s": {"one": 0.5}}).event.sequence
        wait_until(lambda: one.ask("runs") == [work], "its handler runs")
        os.kill(one.pid, signal.SIGSTOP)
    else:
        bus.publish("work.todo", {"freezes": "one"})
        wait_until(lambda: state_of(one.pid) == "T", "it stands in the middle of its commit")
    two.ask("publish 20 3")  # also while the first has the lock on the log's head
    wait_until(lambda: two.ask("serves"), "the second has taken over", LONG_S)
    shared.settle()
    os.kill(one.pid, signal.SIGCONT)
    wait_until(lambda: not one.ask("serves"), "the first knows it", LONG_S)
    two.ask("publish 5 1")
    shared.check(one, two)
    if where == "transaction":
        made = shared.column("SELECT count(*) FROM events WHERE type = 'made.thing'")
        assert made == [0], "what it published belongs to what did not happen"


def state_of(pid: int) -> str:
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]


def test_what_was_told_while_nobody_listened_is_found(shared: Shared) -> None:
    bus = shared.open_bus()
    one = shared.start("one")
    wait_until(lambda: one.ask("serves"), "it serves")
    bus.publish("work.todo", {"fails": True})
    wait_until(lambda: bus.log.delivery_counts()["dead"] == 1, "it is a dead letter")
    assert shared.cut(_LISTENERS) == 2
    operation = bus.operations.redrive(Selection(), by="the test")
    assert bus.operations.wait(operation.id, LONG_S)
    wait_until(
        lambda: shared.column("SELECT count(*) FROM attempts") == [6], "it is tried again", LONG_S
    )  # fmt: skip


def test_what_a_process_scheduled_while_nobody_listened_is_recorded_when_that_is_gone(
    shared: Shared,
) -> None:
    one = shared.start("one")
    two = shared.open_bus()
    assert shared.cut(_LISTENERS) == 2
    two.publish("work.todo", delay=2.0)
    two.close()
    wait_until(lambda: len(shared.column("SELECT 1 FROM done")) == 1, "it is handled", LONG_S)
    assert shared.settle() == one.ask("runs")


def test_a_connection_that_was_cut_while_idle_refuses_nothing(shared: Shared) -> None:
    bus = shared.open_bus()
    bus.publish("a.thing")
    shared.cut("pid != 0")
    assert bus.publish("a.thing").event.sequence == bus.log.last_sequence


def test_changes_of_two_processes_that_cross_are_made_one_by_one(shared: Shared) -> None:
    logs = [shared.open_bus().log, shared.open_bus().log]
    shared.rows("CREATE TABLE sums (k INTEGER, n INTEGER); INSERT INTO sums VALUES (1, 0), (2, 0)")
    meet = threading.Barrier(2)

    def change(log: EventLog, order: tuple[int, int]) -> None:
        def add(conn: Connection, _: list[Any]) -> None:
            for k in order:
                conn.execute(text("UPDATE sums SET n = n + 1 WHERE k = :k"), {"k": k})
                with suppress(threading.BrokenBarrierError):
                    meet.wait(0.2)

        for _ in range(6):
            log.commit(Unit(effects=[(add, None)]))

    with ThreadPoolExecutor() as pool:
        list(pool.map(change, logs, [(1, 2), (2, 1)]))
    assert shared.rows("SELECT n FROM sums") == [(12,), (12,)]


def test_a_subscription_is_ended_while_the_connection_of_its_lease_is_lost(shared: Shared) -> None:
    bus = shared.open_bus()

    async def handle(event: Event) -> None: ...

    bus.subscribe("work.*", handle, name="worker")
    shared.cut(_LEASES)
    bus.unsubscribe("worker")
    assert bus.log.subscribers() == []


def test_a_lane_is_not_begun_anew_without_its_lease(shared: Shared) -> None:
    bus = shared.open_bus()

    async def handle(event: Event) -> None: ...

    bus.subscribe("work.*", handle, name="worker")
    leases = bus.serving.leases
    assert leases is not None
    leases.stop_taking()
    for wanted in leases._wanted.values():
        wanted.is_held = False  # as its thread notes the loss, before it ends what is served
    bus.serving._changed({MISSED})
    assert not bus.serving.is_served("worker"), "another process may serve it now"
