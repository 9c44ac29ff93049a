"""Several processes with the same handlers: each serves its share of the subscriptions."""

from __future__ import annotations

import itertools
import logging
import os
import signal
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from sqlalchemy import text

from app.pages.chain import chain_of, deliveries_of
from eventbus import Event, EventBus, Pattern
from eventbus.consumers import ConsumerGroups, Terms
from eventbus.log import EventLog, Selection
from eventbus.serving import WORK
from tests.helpers.waiting import wait_until
from tests.shared.conftest import Member

Start = Callable[[str], Member]
Step = tuple[str, str, int, str]
"""A part, the event's subject and sequence, and which process handled it."""
SOON_S = 10.0  # 3 s, on a machine that has nothing else to do
LONG_S = 40.0
PARTS = 7
NAMES = {"sharer-one", "sharer-two", "sharer-three"}


@pytest.fixture
def bus(shared_url: str, tmp_path: Path) -> Iterator[EventBus]:
    """A bus of the test's own on the log, which handles nothing; with tables for effects."""
    bus = EventBus(EventLog(shared_url, tmp_path))
    make_tables(bus)
    yield bus
    bus.close()


def make_tables(bus: EventBus) -> None:
    """Those that the handlers of members write to."""
    for table in (
        "done (sequence BIGINT, who TEXT)",
        "steps (number BIGSERIAL, part TEXT, subject TEXT, sequence BIGINT, who TEXT)",
    ):
        bus.log.between_commits(lambda conn, t=table: conn.execute(text(f"CREATE TABLE {t}")))


def three_sharers(member: Start, parts: int) -> list[Member]:
    """Processes that all have a handler for each part."""
    members = [member(f"sharer-{name}") for name in ("one", "two", "three")]
    for each in members:
        each.ask(f"parts {parts}")
    return members


def publish(bus: EventBus, parts: int, each: int, slow_s: float) -> int:
    """So many events for each part, of three subjects; how many that are."""
    bus.publish_many(
        {"type": f"part.{part}", "subject": f"s{number % 3}", "data": {"slow_s": slow_s}}
        for number in range(each) for part in range(parts)
    )  # fmt: skip
    return parts * each


def steps(bus: EventBus) -> list[Step]:
    """All effects, in the order of their commits."""
    columns = "part, subject, sequence, who"
    with bus.log.reading() as conn:
        rows = conn.execute(text(f"SELECT {columns} FROM steps ORDER BY number"))
        return [tuple(row) for row in rows]


def unfinished(bus: EventBus) -> int:
    counts = bus.log.delivery_counts()
    return sum(counts.values()) - counts["dead"]


def settled(bus: EventBus, count: int) -> list[Step]:
    """The effects when so many events are handled, each checked to be there once and in order."""
    wait_until(
        lambda: unfinished(bus) == 0 and len(steps(bus)) >= count,
        f"{count} events are handled", LONG_S,
    )  # fmt: skip
    found = steps(bus)
    with bus.log.reading() as conn:
        recorded = set(
            conn.execute(text("SELECT sequence FROM events WHERE type LIKE 'part.%'")).scalars()
        )
        dead = set(
            conn.execute(text("SELECT sequence FROM deliveries WHERE state = 'dead'")).scalars()
        )
    times = Counter(sequence for _, _, sequence, _ in found)
    assert times.keys() == recorded - dead and set(times.values()) == {1}, (
        "each effect is there once"
    )
    by_key = sorted(found, key=lambda step: step[:2])  # stable
    for key, of_key in itertools.groupby(by_key, key=lambda step: step[:2]):
        sequences = [step[2] for step in of_key]
        assert sequences == sorted(sequences), f"out of order: {key}"
    return found


def share_of(members: list[Member], counts: list[int]) -> None:
    """Wait until they serve so many each, ascending, and each part by one alone."""

    def is_so() -> bool:
        serving = [member.ask("serving") for member in members]
        every = sorted(part for mine in serving for part in mine)
        is_each_once = every == [f"part-{number}" for number in range(sum(counts))]
        return is_each_once and sorted(map(len, serving)) == counts

    wait_until(is_so, f"they serve {counts}", LONG_S)


def test_three_share_and_when_one_is_killed_at_work_two_go_on_and_nothing_is_lost_or_doubled(
    member: Start, bus: EventBus
) -> None:
    members = three_sharers(member, PARTS)
    share_of(members, [2, 2, 3])
    count = publish(bus, PARTS, 60, 0.02)
    wait_until(lambda: {step[3] for step in steps(bus)} == NAMES, "all work")
    killed = members.pop()
    while not killed.ask("running"):  # it may have done all by now: there is more
        count += publish(bus, PARTS, 3, 0.02)
    killed.kill9()
    before = len(steps(bus))
    count += publish(bus, PARTS, 10, 0.0)
    wait_until(
        lambda: sum(len(each.ask("serving")) for each in members) == PARTS,
        "the others have its share", SOON_S,
    )  # fmt: skip
    share_of(members, [3, 4])
    found = settled(bus, count)
    assert before < count, "it was killed in the middle of it"
    assert found[-1][3] != killed.name


def test_one_that_joins_gets_its_share_in_good_order_and_no_handler_runs_twice(
    member: Start, bus: EventBus
) -> None:
    one, two = member("sharer-one"), member("sharer-two")
    one.ask("parts 4")
    share_of([one], [4])
    count = publish(bus, 4, 60, 0.2)
    wait_until(lambda: one.ask("running") > 0, "it is at work")
    two.ask("parts 4")
    share_of([one, two], [2, 2])
    count += publish(bus, 4, 3, 0.0)  # should all have been done before it had its share
    found = settled(bus, count)
    assert {who for *_, who in found} == {one.name, two.name}, "both have worked"
    runs = one.ask("runs") + two.ask("runs")
    assert len(runs) == len(set(runs)) == count, "what ran was let end before another went on"


def test_who_closes_in_order_leaves_its_share_to_the_others_and_a_fair_one_stays(
    member: Start, bus: EventBus
) -> None:
    one, two, three = three_sharers(member, 3)
    share_of([one, two, three], [1, 1, 1])
    kept = one.ask("serving"), two.ask("serving")
    count = publish(bus, 3, 20, 0.05)
    assert three.ask("close") == "closed"
    share_of([one, two], [1, 2])
    settled(bus, count)
    assert set(kept[0]) <= set(one.ask("serving"))
    assert set(kept[1]) <= set(two.ask("serving"))


def test_a_share_that_a_frozen_process_does_not_take_is_taken_by_another(
    member: Start, bus: EventBus
) -> None:
    one, two, three = three_sharers(member, 6)
    share_of([one, two, three], [2, 2, 2])
    os.kill(two.pid, signal.SIGSTOP)
    three.kill9()
    wait_until(lambda: len(one.ask("serving")) == 4, "it has what the frozen one left", SOON_S)
    os.kill(two.pid, signal.SIGCONT)
    settled(bus, publish(bus, 6, 10, 0.0))
    share_of([one, two], [2, 4])  # who did not take its share is left alone for a while


def test_those_that_are_together_are_served_by_one_process(
    shared_url: str, tmp_path: Path, bus: EventBus
) -> None:
    async def handle(event: Event) -> None:
        pass

    with EventBus(EventLog(shared_url, tmp_path)) as other:
        for each in (bus, other):
            for number in range(4):
                each.subscribe("a.*", handle, name=f"t{number}", together=True)
                each.subscribe("a.*", handle, name=f"s{number}")

        def serving(of: EventBus, kind: str) -> int:
            return sum(of.serving.is_served(f"{kind}{number}") for number in range(4))

        wait_until(lambda: [serving(b, "s") for b in (bus, other)] == [2, 2], "shared", LONG_S)
        assert sorted(serving(b, "t") for b in (bus, other)) == [0, 4]
        stats = {each.name: each for each in other.subscriptions()}
        for kind in "ts":
            for name in (f"{kind}{number}" for number in range(4)):
                assert stats[name].state == "served"
                assert stats[name].is_elsewhere == bus.serving.is_served(name), name


def test_a_subscription_whose_handler_does_not_end_stays_and_goes_on_where_it_is(
    shared_url: str, tmp_path: Path, bus: EventBus, monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:  # fmt: skip
    monkeypatch.setattr("eventbus.serving._QUIET_S", 0.3)
    caplog.set_level(logging.INFO)
    handled: list[str] = []

    def handler(of: str) -> Callable[[Event], None]:
        def handle(event: Event) -> None:
            handled.append(of)
            if event.get("blocks"):
                release.wait(LONG_S)

        return handle

    release = threading.Event()
    for number in range(2):
        bus.subscribe(f"part.{number}", handler("here"), name=f"part-{number}", timeout=60)
    for number in range(2):
        bus.publish(f"part.{number}", {"blocks": True})
    wait_until(lambda: len(handled) == 2, "both are at work")
    with EventBus(EventLog(shared_url, tmp_path)) as other:
        for number in range(2):
            other.subscribe(f"part.{number}", handler("there"), name=f"part-{number}")
        wait_until(lambda: "stays here: what runs under it does not end" in caplog.text, "it stays")
        for number in range(2):
            bus.publish(f"part.{number}", subject="another")
        wait_until(lambda: len(handled) == 4, "they go on")
        release.set()
        assert handled == ["here"] * 4


def test_dead_letters_come_back_to_whichever_process_serves_them_once_and_nothing_is_cut_off(
    member: Start, bus: EventBus
) -> None:
    """While handlers run there: those are not cut off, and nothing is begun twice."""
    one = member("sharer-one")
    one.ask("parts 1")
    share_of([one], [1])
    failing = [
        {"type": "part.0", "subject": f"f{number}", "data": {"fails": True}}
        for number in range(450)
    ]
    bus.publish_many(failing)
    wait_until(lambda: bus.log.delivery_counts()["dead"] == 450, "they are dead letters", LONG_S)
    one.ask("runs")
    count = publish(bus, 1, 3, 4.0)  # longer than all of it takes
    wait_until(lambda: one.ask("running") == 3, "it is at work")
    for rounds in (2, 3):
        operation = bus.operations.redrive(Selection(), by="the test")
        assert bus.operations.wait(operation.id, LONG_S)
        wait_until(lambda: bus.log.delivery_counts()["dead"] == 450, "all died again", LONG_S)
        runs = Counter(one.ask("runs"))
        assert sorted(Counter(runs.values()).items())[-1] == (3 * rounds, 450)
    settled(bus, count)
    assert sum(Counter(one.ask("runs")).values()) == 450 * 9 + count


class Outlet:
    """What a consumer is sent."""

    def __init__(self) -> None:
        self.deliveries: list[str] = []

    def send(self, text: str) -> None:
        if text.startswith('{"delivery"'):
            self.deliveries.append(text)

    def end(self, code: int, reason: str) -> None:
        pass


def test_consumers_whose_subscription_comes_over_are_sent_as_many_events_at_once_as_they_take(
    shared_url: str, tmp_path: Path, bus: EventBus
) -> None:
    async def handle(event: Event) -> None:
        pass

    outlet, consumers = Outlet(), ConsumerGroups(bus, grace_s=5.0)
    consumers.start()
    with EventBus(EventLog(shared_url, tmp_path)) as before:
        before.subscribe("job.*", handle, name="jobs")
        consumers.join(Terms("jobs", Pattern("job.*")), "c", 4, outlet)
        assert not bus.serving.is_served("jobs")
    wait_until(lambda: bus.serving.is_served("jobs"), "it comes over", SOON_S)
    bus.publish_many({"type": "job.todo", "subject": f"s{number}"} for number in range(6))
    wait_until(lambda: len(outlet.deliveries) == 4, "they hold what they have room for")
    consumers.close()


def test_what_runs_in_another_process_is_known_here_until_it_ends(
    member: Start, bus: EventBus, tmp_path: Path
) -> None:
    one = member("sharer-one")
    one.ask("parts 2")
    share_of([one], [2])

    def states(event: Event) -> list[str]:
        return [delivery.state for delivery in deliveries_of(bus, event)]

    release = tmp_path / "release"
    event = bus.publish("part.1", {"until": str(release)}, subject="a").event
    behind = bus.publish("part.1", subject="a").event
    wait_until(lambda: states(event) == ["running"], "it runs")
    assert states(behind) == ["pending"]
    (node,) = chain_of(bus, event).roots
    assert [delivery.state for delivery in node.deliveries] == ["running"]
    release.touch()
    wait_until(lambda: states(behind) == ["succeeded"], "it has ended")
    assert states(event) == ["succeeded"]


def test_with_sharing_switched_off_one_process_serves_all(shared_url: str, tmp_path: Path) -> None:
    async def handle(event: Event) -> None:
        pass

    logs = [EventLog(shared_url, tmp_path) for _ in range(2)]
    with (
        EventBus(logs[0], share_subscriptions=False) as one,
        EventBus(logs[1], share_subscriptions=False) as two,
    ):
        for bus in (one, two):
            for number in range(3):
                bus.subscribe("a.*", handle, name=f"s{number}")
        wait_until(lambda: sum(bus.serving.does(WORK) for bus in (one, two)) == 1, "one works")

        def served() -> list[int]:
            return [sum(bus.serving.is_served(f"s{n}") for n in range(3)) for bus in (one, two)]

        wait_until(lambda: sorted(served()) == [0, 3], "it serves all")
