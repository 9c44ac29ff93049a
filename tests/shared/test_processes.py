"""Several processes on one log: one order for all, each delivery once, others take over."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Connection, text

from eventbus import Event, EventBus
from eventbus.log import EventLog, Selection
from eventbus.log.head import MISSED
from tests.helpers.waiting import wait_until
from tests.shared.conftest import Member

Start = Callable[[str], Member]


@pytest.fixture
def bus(shared_url: str, tmp_path: Path) -> Iterator[EventBus]:
    """A bus of the test's own on the log, which handles nothing; with a table for effects."""
    log = EventLog(shared_url, tmp_path)
    bus = EventBus(log)
    log.between_commits(
        lambda conn: conn.execute(text("CREATE TABLE done (sequence BIGINT, who TEXT)"))
    )
    yield bus
    bus.close()


def effects(bus: EventBus) -> Counter[int]:
    with bus.log.reading() as conn:
        return Counter(conn.execute(text("SELECT sequence FROM done")).scalars())


def who(bus: EventBus) -> set[str]:
    with bus.log.reading() as conn:
        return set(conn.execute(text("SELECT DISTINCT who FROM done")).scalars())


def settled(bus: EventBus, count: int) -> None:
    wait_until(
        lambda: sum(bus.log.delivery_counts().values()) == 0 and len(effects(bus)) >= count,
        f"{count} events are handled", 30,
    )  # fmt: skip


def test_everybody_sees_all_events_in_one_order_whoever_published_them(
    member: Start, bus: EventBus
) -> None:
    seen: list[int] = []
    bus.log.add_listener(lambda events: seen.extend(event.sequence or 0 for event in events))
    others = [member("one"), member("two")]
    before = bus.log.last_sequence
    for each in others:
        each.tell("publish 150 7")
    for number in range(150):
        bus.publish("own.thing", {"n": number})
    for each in others:
        each.heard()
    settled(bus, 300)
    last = before + 450  # sequences have no holes
    wait_until(lambda: seen[-1:] >= [last], "all of it is seen here")
    assert bus.log.last_sequence == last
    assert seen == list(range(seen[0], last + 1))
    for each in others:
        heard = each.ask(f"seen {last}")
        assert heard[-450:] == list(range(last - 449, last + 1)), each.name


def test_a_subscription_is_served_by_one_process_and_each_effect_is_there_once(
    member: Start, bus: EventBus
) -> None:
    one, two = member("one"), member("two")
    one.ask("publish 100 5")
    two.ask("publish 100 5")
    settled(bus, 200)
    assert set(effects(bus).values()) == {1}
    assert len(who(bus)) == 1, "identical processes leave a subscription to one of them"
    assert one.ask("serves") != two.ask("serves")


def test_when_the_process_that_serves_is_killed_another_goes_on_and_nothing_is_lost_or_doubled(
    member: Start, bus: EventBus
) -> None:
    one = member("one")
    wait_until(lambda: one.ask("serves"), "the first serves")
    two = member("two")
    one.tell("flood")
    acknowledged = [one.heard() for _ in range(40)]
    two.ask("publish 50 5")
    acknowledged += one.kill9()
    two.ask("publish 50 5")
    wait_until(lambda: two.ask("serves"), "the second has taken over", 20)
    settled(bus, acknowledged[-1] + 100)
    found = effects(bus)
    assert set(found.values()) == {1}
    with bus.log.reading() as conn:
        recorded = set(conn.execute(text("SELECT sequence FROM events")).scalars())
        by_one = conn.execute(text("SELECT count(*) FROM events WHERE source = '/one'")).scalar()
    assert by_one is not None and by_one >= acknowledged[-1], "what was acknowledged is there"
    assert set(found) == recorded


def test_the_server_is_told_to_notice_soon_when_the_machine_of_a_process_is_gone(
    bus: EventBus,
) -> None:
    said: list[str] = []

    def ask(conn: Connection) -> None:
        for name in ("tcp_keepalives_idle", "tcp_keepalives_count", "tcp_keepalives_interval"):
            said.append(conn.exec_driver_sql(f"SHOW {name}").scalar_one())

    bus.log.between_commits(ask)  # which may hold the lock on the head of the log
    assert said == ["10", "3", "5"]


def test_what_has_changed_is_heard_though_its_commit_was_noticed_before(bus: EventBus) -> None:
    heard: list[set[str]] = []
    bus.log.change_listeners.append(heard.append)
    follower = bus.log.follower
    assert follower is not None
    follower._look(set())  # of a commit on disk, before its notification has come
    follower._look({"", "access"})
    assert {"access"} in heard


def test_after_a_lost_connection_all_that_is_kept_in_memory_is_read_again(bus: EventBus) -> None:
    heard: list[set[str]] = []
    bus.log.change_listeners.append(heard.append)
    listening = f"LISTEN {bus.log.channel}"
    with bus.log.reading() as conn:
        (pid,) = conn.execute(
            text("SELECT pid FROM pg_stat_activity WHERE query = :query"), {"query": listening}
        ).one()
        conn.execute(text("SELECT pg_terminate_backend(:pid)"), {"pid": pid})
    wait_until(lambda: any(MISSED in topics for topics in heard), "all is read again")


def test_who_closes_in_order_hands_over_at_once(member: Start, bus: EventBus) -> None:
    one = member("one")
    wait_until(lambda: one.ask("serves"), "the first serves")
    two = member("two")
    assert one.ask("close") == "closed"
    two.ask("publish 20 5")
    settled(bus, 20)
    assert who(bus) == {"two"}


def test_a_pause_holds_in_every_process(member: Start, bus: EventBus) -> None:
    one = member("one")
    wait_until(lambda: one.ask("serves"), "the first serves")
    two = member("publisher")
    assert bus.pauses.pause("worker", by="the test")
    two.ask("publish 10 2")
    # A later event of another subscription is no proof that nothing came; a resume is.
    wait_until(lambda: bus.log.delivery_counts()["pending"] == 10, "they wait")
    assert not effects(bus)
    assert bus.pauses.resume("worker", by="the test")
    settled(bus, 10)


@pytest.mark.parametrize("is_told_first", [True, False])
def test_a_pause_holds_for_what_was_recorded_after_it_when_both_are_heard_late(
    shared_url: str, bus: EventBus, monkeypatch: pytest.MonkeyPatch, is_told_first: bool
) -> None:
    handled: list[Event] = []
    bus.subscribe("part.0", handled.append, name="part-0")
    wait_until(lambda: bus.serving.is_served("part-0"), "it is served here")
    follower = bus.log.follower
    assert follower is not None
    stands, may_go_on = threading.Event(), threading.Event()
    hear = follower._wait

    def hear_late(driver: Any) -> set[str]:
        is_first = not stands.is_set()
        stands.set()
        may_go_on.wait(20)
        # A look that nobody told to make finds what the notifications are still to tell.
        return hear(driver) if is_told_first or not is_first else set()

    monkeypatch.setattr(follower, "_wait", hear_late)
    with EventBus(EventLog(shared_url)) as other:
        assert stands.wait(20)
        assert other.pauses.pause("part-0", by="the test")
        sequence = other.publish("part.0").event.sequence or 0
        may_go_on.set()
        wait_until(lambda: bus.log.last_sequence >= sequence, "it is known here")
        wait_until(lambda: bus.subscriptions()[0].state == "paused", "that it is paused, too")
        assert [each.state for each in bus.log.deliveries(sequence)] == ["pending"]
        assert not handled
        assert other.pauses.resume("part-0", by="the test")
        wait_until(lambda: len(handled) == 1, "it goes on")


def test_dead_letters_are_redriven_from_a_process_that_does_not_serve(
    member: Start, bus: EventBus
) -> None:
    one = member("one")
    wait_until(lambda: one.ask("serves"), "it serves")
    receipt = bus.publish("work.todo", {"fails": True})
    wait_until(lambda: bus.log.delivery_counts()["dead"] == 1, "it is a dead letter")
    operation = bus.operations.redrive(Selection(), by="the test")
    assert bus.operations.wait(operation.id, 20)
    wait_until(
        lambda: len(bus.log.deliveries(receipt.event.sequence or 0)[0].attempts) == 6,
        "it was tried three times more", 20,
    )  # fmt: skip
    assert bus.log.delivery_counts()["dead"] == 1


def test_what_is_scheduled_in_one_process_is_recorded_once_when_all_look_for_it(
    member: Start, bus: EventBus
) -> None:
    member("one")
    member("two")
    for number in range(20):
        bus.publish("work.todo", {"n": number}, delay=0.5)
    settled(bus, 20)
    assert set(effects(bus).values()) == {1}
    assert bus.log.schedules.count() == 0


def test_a_receipt_waits_for_what_another_process_handles(member: Start, bus: EventBus) -> None:
    one = member("one")
    wait_until(lambda: one.ask("serves"), "it serves")
    bus.subscribe("work.*", _never, name="worker")  # it could, and leaves it to the other
    deliveries = bus.publish("work.todo", {"n": 1}).deliveries(20)
    assert [delivery.state for delivery in deliveries] == ["succeeded"]
    assert who(bus) == {"one"}


async def _never(event: object) -> None:
    raise AssertionError("this process does not serve it")


def test_a_duty_that_cannot_be_begun_is_not_taken_for_one_that_is_done(
    shared_url: str, bus: EventBus
) -> None:
    """Its lease is given back, what was begun beside it ends, and it is tried again."""
    done: list[str] = []

    def begin() -> None:
        done.append("two begins")
        if len(done) == 2:
            raise OSError("not now")

    with EventBus(EventLog(shared_url)) as before:
        before.serving.add_duty("chores", lambda: None, lambda: None)
        wait_until(lambda: before.serving.does("chores"), "another has the lease")
        bus.serving.add_duty("chores", lambda: done.append("one"), lambda: done.append("one ends"))
        bus.serving.add_duty("chores", begin, lambda: done.append("two ends"))
    wait_until(lambda: "two ends" in done, "it is ended", 10)
    assert done[:4] == ["one", "two begins", "one ends", "two ends"]
    wait_until(lambda: bus.serving.does("chores"), "it is begun again", 10)
    wait_until(lambda: done[4:] == ["one", "two begins"], "all of it")
