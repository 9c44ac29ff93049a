"""Rare moments: forks, Ctrl-C, two buses, reused names and ids, storage that fails in between."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import threading
import time
from collections import deque
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Connection, inspect

from eventbus import Event, EventBus, Pattern
from eventbus.errors import BusClosedError, LogLockedError
from eventbus.log import EventLog
from eventbus.log.deliveries import Unfinished
from eventbus.log.migrations import LOG_MIGRATIONS, migrate
from eventbus.log.unit import Unit
from tests.helpers.bus import LONG_S, Failing, Recorder, open_bus


def nothing(_event: Event) -> None:
    """A handler that asks for nothing."""


def types(bus: EventBus) -> list[str]:
    return [event.type for event in bus.log.read(0).events]


def wait_until(is_so: Callable[[], bool]) -> None:
    deadline = time.monotonic() + LONG_S
    while not is_so():
        assert time.monotonic() < deadline
        time.sleep(0.005)


# -- effects ------------------------------------------------------------------------------------


def test_a_handler_that_publishes_on_another_bus_publishes_there(
    bus: EventBus, tmp_path: Path
) -> None:
    with open_bus(f"sqlite:///{tmp_path / 'other.db'}") as other:
        bus.subscribe("a", lambda event: other.publish("b"), name="bridge")
        bus.publish("a").deliveries(LONG_S)
        assert (types(bus), types(other)) == (["a"], ["b"])


def test_causes_that_share_an_id_have_further_events_of_their_own(bus: EventBus) -> None:
    bus.subscribe("a", lambda event: bus.publish("b", {"of": event.source}), name="mine")
    bus.publish("a", id="1", source="/p")
    bus.publish("a", id="1", source="/q")
    assert bus.drain(LONG_S)
    further = bus.log.read(0, pattern=Pattern("b")).events
    assert [event["of"] for event in further] == ["/p", "/q"]


def test_a_delivery_whose_effects_fail_has_not_succeeded(bus: EventBus) -> None:
    def breaks(_conn: Connection, _params: Any) -> None:
        raise ValueError("no")

    bus.subscribe("a", lambda event: bus.effect(breaks, None), name="mine", max_attempts=1)
    bus.publish("a").deliveries(LONG_S)
    assert [(s.succeeded, s.dead) for s in bus.subscriptions()] == [(0, 1)]


# -- subscriptions that go ----------------------------------------------------------------------


def test_an_unsubscription_lies_between_two_commits(bus: EventBus) -> None:
    bus.subscribe("a", nothing, name="mine")
    commit = bus.log._commit
    remove = threading.Thread(target=bus.unsubscribe, args=("mine",))
    publish = threading.Thread(target=bus.publish, args=("a",))

    def both() -> None:
        # By what they have: with PostgreSQL the follower of changes may queue a unit as well.
        remove.start()
        wait_until(lambda: any(unit.token for unit in list(commit._queue)))
        publish.start()
        wait_until(lambda: any(unit.events for unit in list(commit._queue)))

    commit.exclusively(both)
    remove.join(LONG_S)
    publish.join(LONG_S)
    assert bus.log.deliveries(1) == []
    assert bus.log.delivery_counts() == {"pending": 0, "retrying": 0, "dead": 0}


def test_a_new_subscription_inherits_nothing_of_a_forgotten_one(bus: EventBus) -> None:
    bus.subscribe("a", Failing(), name="old", max_attempts=1)
    bus.publish("a").deliveries(LONG_S)
    bus.unsubscribe("old")
    bus.subscribe("b", nothing, name="new")
    assert [(s.name, s.dead, s.failures) for s in bus.subscriptions()] == [("new", 0, 0)]


@pytest.mark.sqlite
def test_a_log_of_the_first_version_gives_no_id_again(url: str) -> None:
    log = EventLog(url)
    conn = log._database.writer
    with conn.begin():
        for table in inspect(conn).get_table_names():
            conn.exec_driver_sql(f"DROP TABLE {table}")
    migrate(conn, "log", LOG_MIGRATIONS[:1])
    with conn.begin():
        conn.exec_driver_sql("INSERT INTO subscriptions VALUES (1, 'kept', 'a', 0, 0)")
        conn.exec_driver_sql(
            "INSERT INTO deliveries (sequence, subscription, state, attempt) "
            "VALUES (1, 1, 'pending', 0), (1, 7, 'dead', 5)"
        )
    log.close()
    with open_bus(url) as bus:
        assert bus.log.delivery_counts() == {"pending": 1, "retrying": 0, "dead": 0}
        bus.subscribe("b", nothing, name="new")
        assert {s.name: s.id for s in bus.log.subscribers()} == {"kept": 1, "new": 8}


def test_an_attempt_that_fails_while_it_is_unsubscribed_is_not_to_be_retried(
    bus: EventBus,
) -> None:
    entered, go_on = threading.Event(), threading.Event()

    def handle(_event: Event) -> None:  # inline: the loop learns of the end only after it
        entered.set()
        assert go_on.wait(LONG_S)
        raise RuntimeError("late")

    bus.subscribe("a", handle, name="mine", inline=True)
    bus.publish("a")
    assert entered.wait(LONG_S)
    bus.unsubscribe("mine")
    go_on.set()
    assert bus.drain(LONG_S)
    bus.log.commit(Unit())  # what the attempt had left behind is committed with it
    assert [delivery.state for delivery in bus.log.deliveries(1)] == ["cancelled"]


def test_a_lambda_never_takes_the_place_of_a_named_subscription(bus: EventBus) -> None:
    bus.subscribe("a", nothing, name="ephemeral-1")
    bus.subscribe("a", lambda event: None)
    assert len(bus.subscriptions()) == 2


# -- processes and signals ----------------------------------------------------------------------


def test_a_forked_process_can_neither_write_nor_close(bus: EventBus) -> None:
    bus.publish("a")
    child = os.fork()
    if child == 0:
        status = 1
        try:
            bus.publish("of.child")
        except LogLockedError:
            bus.close()
            status = 0
        finally:
            os._exit(status)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    bus.publish("b")
    assert types(bus) == ["a", "b"]


@pytest.mark.sqlite
def test_a_link_to_the_database_is_the_same_database(bus: EventBus, tmp_path: Path) -> None:
    (tmp_path / "link.db").symlink_to(tmp_path / "events.db")
    with pytest.raises(LogLockedError):
        open_bus(f"sqlite:///{tmp_path / 'link.db'}")


def test_an_interrupt_waits_for_the_end_of_the_commit(bus: EventBus) -> None:
    def interrupt(_conn: Connection) -> None:
        os.kill(os.getpid(), signal.SIGINT)
        time.sleep(0.01)

    bus.subscribe("a", recorder := Recorder(), name="mine")
    if bus.log.follower is not None:
        bus.log.follower.close()  # it may commit, too, and this thread would only wait for it
    unit = Unit([Event.create("a")])
    # A call is committed before what is queued after it, so it gets the event's own commit.
    unit.call = interrupt
    with pytest.raises(KeyboardInterrupt):
        bus.log.commit(unit)
    assert unit.is_done
    assert unit.error is None
    recorder.wait_for(1)


def test_a_task_of_a_handler_that_exits_does_not_end_the_bus(bus: EventBus) -> None:
    async def leave() -> None:
        sys.exit(1)

    async def handle(_event: Event) -> None:
        await asyncio.gather(leave())

    bus.subscribe("a", handle, name="mine", max_attempts=1)
    (delivery,) = bus.publish("a").deliveries(LONG_S)
    assert (delivery.state, delivery.error_class) == ("dead", "SystemExit")


def test_what_is_queued_when_the_bus_closes_is_committed(url: str) -> None:
    log = EventLog(url)
    log.start(lambda recorded, batch: None)
    commit, late = log._commit, Unit([Event.create("late")])

    class Queue(deque[Unit]):
        """Found empty by the writer for the last time before it looks whether it is closed."""

        def __bool__(self) -> bool:
            is_there = len(self) > 0
            is_last_look = sys._getframe(1).f_code.co_name == "_run" and not commit._is_closed
            if not is_there and is_last_look:
                self.append(late)
                commit._is_closed = True
                commit._wake.set()
            return is_there

    commit._queue = Queue()
    commit._wake.set()
    commit._thread.join(LONG_S)
    assert late.is_done
    log.close()


def test_closing_wakes_whoever_waits_for_deliveries(url: str) -> None:
    go_on, ended = threading.Event(), threading.Event()
    bus = open_bus(url)
    bus.subscribe("a", lambda event: go_on.wait(LONG_S), name="mine")
    receipt = bus.publish("a")

    def wait() -> None:
        with pytest.raises(BusClosedError, match="before event"):
            receipt.deliveries()
        ended.set()

    threading.Thread(target=wait, daemon=True).start()
    bus.close(0.05)
    assert ended.wait(LONG_S)
    go_on.set()


# -- scarcity -----------------------------------------------------------------------------------


def test_handlers_that_never_suspend_let_others_have_the_loop(bus: EventBus) -> None:
    count = 1_000
    handled: list[int] = []
    seen_at: list[int] = []

    async def busy(event: Event) -> None:
        time.sleep(0.001)
        handled.append(event.sequence or 0)

    async def other(_event: Event) -> None:
        seen_at.append(len(handled))

    bus.subscribe("busy", busy, name="busy", concurrency=1)
    bus.subscribe("other", other, name="other")
    bus.publish_many([*[{"type": "busy"}] * count, {"type": "other"}])
    assert bus.drain(LONG_S)
    assert len(handled) == count
    assert seen_at[0] < count * 0.8


def test_a_delivery_that_cannot_be_read_once_is_read_again(
    bus: EventBus, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("eventbus.lane.WINDOW", 10)
    monkeypatch.setattr("eventbus.lane_reader._STORAGE_RETRY_S", 0.01)
    entered, go_on = threading.Event(), threading.Event()

    def handle(_event: Event) -> None:
        entered.set()
        assert go_on.wait(LONG_S)

    recorder = Recorder(handle)
    bus.subscribe("a", recorder, name="mine")
    bus.publish_many([{"type": "a"}] * 50)
    assert entered.wait(LONG_S)
    read, fails = bus.log.delivery_reader.again, [True]

    def again(subscription: int, sequences: list[int]) -> tuple[list[Unfinished], int]:
        if fails:
            fails.clear()
            raise OSError("the disk is away")
        return read(subscription, sequences)

    monkeypatch.setattr(bus.log.delivery_reader, "again", again)
    go_on.set()
    assert bus.drain(LONG_S)
    assert not fails
    assert [event.sequence for event in recorder.events] == list(range(1, 51))


def test_one_bad_unit_costs_the_others_few_commits(log: EventLog) -> None:
    def breaks(_conn: Connection, _params: Any) -> None:
        raise ValueError("no")

    written: list[int] = []
    write = log._writer._transaction

    def counted(batch: list[Unit], is_suspicious: bool = False) -> Any:
        written.append(len(batch))
        return write(batch, is_suspicious)

    log._writer._transaction = counted  # type: ignore[method-assign]
    units = [Unit([Event.create("a")]) for _ in range(256)]
    bad = Unit([Event.create("bad")], effects=[(breaks, None)])
    log._writer.write([*units[:100], bad, *units[100:]])
    assert isinstance(bad.error, ValueError)
    assert {unit.error for unit in units} == {None}
    assert [unit.events[0].sequence for unit in units] == list(range(1, 257))
    assert len(written) < 25


def test_a_commit_that_fails_leaves_no_transaction_open(log: EventLog) -> None:
    def orphan(conn: Connection) -> None:
        conn.exec_driver_sql("INSERT INTO child VALUES (99)")

    if not log.storage.is_on_server:
        log._database.writer.connection.execute("PRAGMA foreign_keys = ON")
    reference = "INTEGER REFERENCES parent (id) DEFERRABLE INITIALLY DEFERRED"
    for table in ("parent (id INTEGER PRIMARY KEY)", f"child (parent {reference})"):
        log.between_commits(lambda conn, table=table: conn.exec_driver_sql(f"CREATE TABLE {table}"))
    with pytest.raises(Exception, match="(?i)foreign key"):
        log.commit(Unit([Event.create("a")], call=orphan))
    log.commit(Unit([Event.create("b")]))
    assert [event.type for event in log.read(0).events] == ["b"]


def test_a_system_without_threads_is_not_the_end_of_the_pool(
    bus: EventBus, monkeypatch: pytest.MonkeyPatch
) -> None:
    start = threading.Thread.start

    def refuse(thread: threading.Thread) -> None:
        if thread.name.startswith("eventbus-worker"):
            raise RuntimeError("can't start new thread")
        start(thread)

    bus.subscribe("a", recorder := Recorder(), name="mine", max_attempts=1)
    with monkeypatch.context() as patch:
        patch.setattr(threading.Thread, "start", refuse)
        receipt = bus.publish_many([{"type": "a", "subject": str(n)} for n in range(300)])
        assert {delivery.state for delivery in receipt.deliveries(LONG_S)} == {"dead"}
    bus.publish("a")
    recorder.wait_for(1)


def test_time_in_the_queue_for_a_thread_is_not_the_handlers(
    bus: EventBus, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("eventbus.workers._MAX_THREADS", 2)
    entered, go_on = threading.Semaphore(0), threading.Event()

    def block(_event: Event) -> None:
        entered.release()
        assert go_on.wait(LONG_S)

    bus.subscribe("slow", block, name="slow")
    bus.subscribe("a", recorder := Recorder(), name="mine", timeout=0.5, max_attempts=1)
    bus.publish_many([{"type": "slow", "subject": str(n)} for n in range(2)])
    assert entered.acquire(timeout=LONG_S)
    assert entered.acquire(timeout=LONG_S)
    receipt = bus.publish("a")
    time.sleep(0.7)
    go_on.set()
    (delivery,) = receipt.deliveries(LONG_S)
    assert (delivery.state, len(recorder.events)) == ("succeeded", 1)


def test_a_blocked_loop_is_told_once_what_it_has_missed(bus: EventBus) -> None:
    entered, go_on = threading.Event(), threading.Event()

    def block(_event: Event) -> None:
        entered.set()
        assert go_on.wait(LONG_S)

    bus.subscribe("block", block, name="block", inline=True)
    bus.subscribe("a", recorder := Recorder(), name="mine", inline=True)
    bus.publish("block")
    assert entered.wait(LONG_S)
    bus.publish_many([{"type": "a", "subject": str(n)} for n in range(10_001)])
    for _ in range(100):
        bus.publish("a", subject="0")
    assert len(bus._loop._ready) < 50  # type: ignore[attr-defined]
    go_on.set()
    assert bus.drain(LONG_S)
    assert len(recorder.events) == 10_101
