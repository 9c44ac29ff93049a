"""Scheduled events: recorded when they are due, once, whatever happens in between."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest
from sqlalchemy import text

from eventbus import Event, EventBus
from eventbus.errors import EventValidationError
from eventbus.log import EventLog, migrations
from eventbus.log.sqlite import SqliteDatabase
from eventbus.scheduled import ScheduledEvent
from eventbus.testing import FakeClock
from tests.helpers.bus import LONG_S, Recorder, recorded
from tests.helpers.disks import allow_writing, forbid_writing
from tests.helpers.waiting import wait_until

START = datetime(2026, 3, 1, 12, tzinfo=UTC)
SECOND = timedelta(seconds=1)


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock(START)


@pytest.fixture
def bus(url: str, clock: FakeClock) -> Iterator[EventBus]:
    with EventBus.open(url, clock=clock) as bus:
        clock.attach(bus)
        yield bus


def test_an_event_is_recorded_when_its_delay_is_over_and_not_before(
    bus: EventBus, clock: FakeClock
) -> None:
    seen = Recorder()
    bus.subscribe("a", seen, name="seen")
    receipt = bus.publish("a", {"n": 1}, delay=30, subject="s", extensions={"shard": 7})
    assert (receipt.at, receipt.duplicate, receipt.deliveries()) == (START + 30 * SECOND, False, [])
    clock.advance(29.999999)
    assert (recorded(bus), seen.events) == ([], [])
    clock.advance(0.000001)
    (event,) = seen.wait_for(1)
    assert (event.id, event["n"], event.subject) == (receipt.event.id, 1, "s")
    assert event.extensions == {"shard": 7}
    assert event.time == START + 30 * SECOND
    assert bus.log.schedules.count() == 0


@pytest.mark.parametrize("when", [
    {"delay": 90}, {"delay": 90.0}, {"delay": timedelta(seconds=90)}, {"delay": "90"},
    {"at": START + 90 * SECOND}, {"at": "2026-03-01T12:01:30Z"},
    {"at": (START + 90 * SECOND).astimezone(timezone(timedelta(hours=2)))},
])  # fmt: skip
def test_a_delay_or_a_time_may_be_written_in_several_ways(
    bus: EventBus, clock: FakeClock, when: dict[str, Any]
) -> None:
    assert bus.publish("a", **when).at == START + 90 * SECOND
    receipt = bus.publish_many([{"type": "b", **when}])
    (event,) = receipt.wait()
    assert isinstance(event, ScheduledEvent) and event.at == START + 90 * SECOND
    clock.advance(90)
    assert recorded(bus) == ["a", "b"]


@pytest.mark.parametrize("when", [{"delay": 0}, {"at": START}, {"at": START - timedelta(days=9)}])
def test_what_is_due_already_is_recorded_at_once(bus: EventBus, when: dict[str, Any]) -> None:
    receipt = bus.publish("a", **when)
    event = receipt.wait()
    assert (event.sequence, receipt.at, event.time) == (1, None, START)
    assert type(event) is Event


@pytest.mark.parametrize(("when", "pointer", "detail"), [
    ({"delay": -1}, "/delay", "seconds from 0"),
    ({"delay": float("nan")}, "/delay", "seconds from 0"),
    ({"delay": float("inf")}, "/delay", "3653 days"),
    ({"delay": 315_705_600}, "/delay", "3653 days"),
    ({"delay": True}, "/delay", "not true"),
    ({"delay": "1e3"}, "/delay", "not '1e3'"),
    ({"at": datetime(2026, 3, 2)}, "/at", "time zone"),
    ({"at": "tomorrow"}, "/at", "RFC 3339"),
    ({"at": START + timedelta(days=4_000)}, "/at", "3653 days"),
    ({"at": 5}, "/at", "RFC 3339"),
    ({"at": START, "delay": 1}, "/at", "one of the two"),
])  # fmt: skip
def test_what_makes_no_sense_is_refused_by_name_and_nothing_is_scheduled(
    bus: EventBus, when: dict[str, Any], pointer: str, detail: str
) -> None:
    with pytest.raises(EventValidationError) as refused:
        bus.publish("a", **when)
    (error,) = refused.value.errors
    assert error.pointer == pointer and detail in error.detail
    with pytest.raises(EventValidationError) as refused:
        bus.publish_many([{"type": "a"}, {"type": "a", **when}])
    assert [error.pointer for error in refused.value.errors] == [f"/1{pointer}"]
    assert (recorded(bus), bus.log.schedules.count()) == ([], 0)


def test_a_time_that_the_publisher_gave_stays_the_time(bus: EventBus, clock: FakeClock) -> None:
    bus.publish("a", delay=5, time="2020-01-01T00:00:00Z")
    clock.advance(5)
    (event,) = bus.log.read(0).events
    assert event.time.year == 2020


def test_events_come_in_the_order_of_their_due_times_then_of_scheduling(
    bus: EventBus, clock: FakeClock
) -> None:
    bus.publish_many([{"type": f"a.{delay}", "delay": delay} for delay in (3, 1, 2)])
    bus.publish("b", delay=2)
    clock.advance(10)
    assert recorded(bus) == ["a.1", "a.2", "b", "a.3"]


def test_a_batch_may_mix_now_and_later_and_is_recorded_whole(
    bus: EventBus, clock: FakeClock
) -> None:
    receipt = bus.publish_many([{"type": "later", "delay": 9}, {"type": "now"}])
    later, now = receipt.wait()
    assert (later.sequence, now.sequence, receipt.duplicates) == (None, 1, [False, False])
    clock.advance(9)
    assert recorded(bus) == ["now", "later"]


def test_it_survives_a_restart_and_what_became_due_meanwhile_is_recorded_at_once(url: str) -> None:
    with EventBus.open(url, clock=FakeClock(START)) as bus:
        bus.subscribe("*", Recorder(), name="seen")
        first, _second = bus.publish_many(
            [{"type": f"a.{n}", "delay": 10 * n} for n in (1, 2)]
        ).events
    later = FakeClock(START + 15 * SECOND)
    with EventBus.open(url, clock=later) as bus:
        later.attach(bus)
        seen = Recorder()
        bus.subscribe("*", seen, name="seen")
        assert [event.id for event in seen.wait_for(1)] == [first.id]
        assert bus.drain(LONG_S) and recorded(bus) == ["a.1"]
        later.advance(5)
        assert recorded(bus) == ["a.1", "a.2"]
        assert [event.type for event in seen.wait_for(2)] == ["a.1", "a.2"]


def test_an_id_is_recorded_once_however_it_comes(bus: EventBus, clock: FakeClock) -> None:
    first = bus.publish("a", id="x", delay=10)
    again = bus.publish("a", id="x", delay=99)
    assert (again.duplicate, again.at) == (True, first.at)
    clock.advance(10)
    late = bus.publish("a", id="x", delay=10)
    assert (late.duplicate, late.event.sequence, late.at) == (True, 1, None)
    assert bus.publish("a", id="x").duplicate
    other = bus.publish("a", id="x", source="/other", delay=10)
    assert not other.duplicate
    clock.advance(100)
    assert recorded(bus) == ["a", "a"]


def test_published_meanwhile_it_is_recorded_then_and_the_schedule_comes_to_nothing(
    bus: EventBus, clock: FakeClock
) -> None:
    bus.publish("a", id="x", delay=10)
    assert not bus.publish("a", id="x").duplicate
    clock.advance(10)
    assert recorded(bus) == ["a"] and bus.log.schedules.count() == 0


def test_the_same_event_twice_in_one_batch_is_scheduled_once(
    bus: EventBus, clock: FakeClock
) -> None:
    event = ScheduledEvent.of(Event.create("a"), delay=1)
    assert bus.publish_many([event, event]).duplicates == [False, True]
    clock.advance(1)
    assert recorded(bus) == ["a"]


def test_what_is_cancelled_never_comes_and_the_log_tells_who_did_it(
    bus: EventBus, clock: FakeClock
) -> None:
    event = bus.publish("a.b", {"n": 1}, delay=10, subject="s").event
    bus.publish("c", delay=20)
    clock.advance(1)
    assert bus.cancel(event.id, by="ana")
    assert not bus.cancel(event.id)
    clock.advance(100)
    cancelled, other = bus.log.read(0).events
    assert (cancelled.type, cancelled.subject, other.type) == ("bus.schedule.cancelled", "s", "c")
    assert cancelled.data == {
        "id": event.id, "source": event.source, "type": "a.b", "by": "ana",
        "at": "2026-03-01T12:00:10.000000Z",
    }  # fmt: skip
    assert (cancelled.correlationid, cancelled.time) == (event.correlationid, START + SECOND)


def test_cancelling_may_be_limited_to_one_source(bus: EventBus, clock: FakeClock) -> None:
    for source in ("/1", "/2", "/3"):
        bus.publish("a", id="x", source=source, delay=10)
    assert not bus.cancel("x", source="/4") and bus.cancel("x", source="/2")
    assert [event.source for event in bus.log.schedules.find("x")] == ["/1", "/3"]
    assert bus.cancel("x")
    assert bus.log.schedules.count() == 0


def test_on_an_event_loop_it_is_awaited(bus: EventBus) -> None:
    async def use() -> None:
        receipt = bus.publish("a", delay=10)
        event = await receipt
        assert isinstance(event, ScheduledEvent)
        cancelled = bus.cancel(event.id)
        assert await cancelled and cancelled
        assert not await bus.cancel(event.id)

    asyncio.run(use())
    assert recorded(bus) == ["bus.schedule.cancelled"]


def test_a_cancellation_that_nobody_awaited_is_neither_true_nor_false(bus: EventBus) -> None:
    async def use() -> None:
        await bus.publish("a", id="x", delay=10)
        with bus.log._commit._lock, pytest.raises(RuntimeError, match="await the cancellation"):  # type: ignore[attr-defined]
            bool(bus.cancel("x"))

    asyncio.run(use())


# -- clocks ----------------------------------------------------------------------------------


def test_a_wall_clock_set_forwards_is_noticed_within_a_minute(url: str) -> None:
    clock = FakeClock(START, longest_wait_s=60)
    with EventBus.open(url, clock=clock) as bus:
        clock.attach(bus)
        bus.publish("a", at=START + timedelta(hours=5))
        clock.advance(30)
        clock.set_wall_clock(START + timedelta(hours=6))
        clock.advance(29)
        assert recorded(bus) == []
        clock.advance(1)
        assert recorded(bus) == ["a"]


def test_a_wall_clock_set_back_makes_it_wait_until_the_clock_says_its_time(url: str) -> None:
    clock = FakeClock(START, longest_wait_s=60)
    with EventBus.open(url, clock=clock) as bus:
        clock.attach(bus)
        bus.publish("a", delay=100)
        clock.set_wall_clock(START - timedelta(seconds=200))
        clock.advance(299)
        assert recorded(bus) == []
        clock.advance(1)
        assert recorded(bus) == ["a"]


def test_with_the_clock_of_the_computer_it_comes_by_itself(url: str) -> None:
    with EventBus.open(url) as bus:
        seen = Recorder()
        bus.subscribe("a", seen, name="seen")
        bus.publish("a", delay=0.05)
        bus.publish("a", delay=3600)
        assert len(seen.wait_for(1)) == 1
        assert bus.log.schedules.count() == 1


# -- many ------------------------------------------------------------------------------------


def test_many_that_are_due_at_once_are_recorded_in_bounded_commits(url: str) -> None:
    clock = FakeClock(START)
    with EventBus.open(url, clock=clock) as bus:
        sizes: list[int] = []
        bus.publish_many([{"type": "a", "data": {"n": n}, "delay": 60} for n in range(3_000)])
        bus.log.add_listener(lambda events: sizes.append(len(events)))
        clock.attach(bus)
        clock.advance(60, patience=LONG_S)
        assert sum(sizes) == 3_000 and max(sizes) <= 200
        assert [event["n"] for event in bus.log.read(0, 3_000).events] == list(range(3_000))


def test_large_ones_are_recorded_a_few_at_a_time(bus: EventBus, clock: FakeClock) -> None:
    sizes: list[int] = []
    for n in range(30):
        bus.publish("a", {"n": n, "text": "x" * 250_000}, delay=60)
    bus.log.add_listener(lambda events: sizes.append(len(events)))
    clock.advance(60, patience=LONG_S)
    assert sum(sizes) == 30 and max(sizes) <= 16


def test_the_list_goes_page_by_page_in_due_order(bus: EventBus) -> None:
    bus.publish_many([{"type": f"a.{n}", "delay": 10 + n // 2} for n in range(7)])
    pages: list[list[str]] = []
    cursor = None
    while True:
        page = bus.log.schedules.page(3, cursor)
        pages.append([event.type for event in page.events])
        cursor = page.next
        if cursor is None:
            break
    assert pages == [["a.0", "a.1", "a.2"], ["a.3", "a.4", "a.5"], ["a.6"]]


def test_a_disk_that_cannot_be_written_only_delays_it(
    bus: EventBus, clock: FakeClock, caplog: pytest.LogCaptureFixture
) -> None:
    bus.publish("a", delay=10)
    assert bus.drain(LONG_S)
    clock.detach(bus)
    forbid_writing(bus)
    clock.advance(10)
    wait_until(lambda: "what is due could not be recorded" in caplog.text, "it was tried")
    allow_writing(bus)
    wait_until(lambda: recorded(bus) == ["a"], "it is recorded")
    assert bus.log.schedules.count() == 0


@pytest.mark.sqlite
def test_a_log_of_an_earlier_version_gets_a_schedule(url: str) -> None:
    at = migrations.LOG_MIGRATIONS.index(migrations._create_scheduled)
    database = SqliteDatabase(url)
    migrations.migrate(database.writer, "log", migrations.LOG_MIGRATIONS[:at])
    with database.writer.begin():
        assert "scheduled" not in str(
            database.writer.execute(text("SELECT name FROM sqlite_master")).all()
        )
    database.close()
    log = EventLog(url)
    log.start(lambda recorded, batch: None)
    assert log.schedules.count() == 0
    log.close()
