"""Appending to the log: sequences, idempotency, whole-or-nothing units, listeners, full disks."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest

from eventbus import Event, Pattern
from eventbus.errors import BusClosedError, LogError, LogLockedError, LogWriteError
from eventbus.log import EventLog, EventQuery
from eventbus.log.unit import Unit


def event(type: str = "a.b", **attributes: object) -> Event:
    return Event.create(type, **attributes)  # type: ignore[arg-type]


def append(log: EventLog, *events: Event) -> list[Event]:
    unit = Unit(events)
    log.commit(unit)
    return unit.events


def everything(log: EventLog) -> list[Event]:
    return log.read(0).events


def test_sequences_count_up_from_one(log: EventLog) -> None:
    assert log.last_sequence == 0
    assert [e.sequence for e in append(log, event(), event())] == [1, 2]
    assert [e.sequence for e in append(log, event())] == [3]
    assert log.last_sequence == 3
    assert [e.sequence for e in everything(log)] == [1, 2, 3]


def test_an_event_comes_back_as_it_was_recorded(log: EventLog) -> None:
    given = Event.create(
        "queue.task.added", {"queue": "é😀", "n": [1, None, 0.5]}, id="i", source="/s",
        subject="t-1", time="2026-11-24T09:30:00.123456Z", dataschema="https://schema.test/",
        correlationid="c", causationid="b",
        traceparent="00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
    ).evolve(depth=3)  # fmt: skip
    append(log, given)
    for found in (log.get("i"), log.get_by_sequence(1), everything(log)[0]):
        assert found is not None
        assert found.to_dict() == {**given.to_dict(), "sequence": 1}
        assert found.depth == 3


def test_the_publishers_own_object_is_not_changed(log: EventLog) -> None:
    given = event()
    append(log, given)
    assert given.sequence is None


def test_source_and_id_together_are_the_idempotency_key(log: EventLog) -> None:
    first, other_source, other_id = append(
        log,
        event(id="1", source="/a", data={"n": 1}),
        event(id="1", source="/b", data={"n": 2}),
        event(id="2", source="/a", data={"n": 3}),
    )
    again = Unit([event(id="1", source="/a", data={"n": 4}), event(id="3", source="/a")])
    log.commit(again)
    assert again.duplicates == {0}
    assert [e.sequence for e in again.events] == [1, 4]
    assert again.events[0].data == {"n": 1}
    assert log.last_sequence == 4
    newest = log.get("1")
    assert newest is not None
    assert newest.sequence == other_source.sequence
    assert log.get("1", source="/a") == first
    assert log.get("2", source="/b") is None
    assert other_id.sequence == 3


def test_a_duplicate_within_one_unit_is_recorded_once(log: EventLog) -> None:
    unit = Unit([event(id="1"), event(id="2"), event(id="1", data={"second": True})])
    log.commit(unit)
    assert unit.duplicates == {2}
    assert [e.sequence for e in unit.events] == [1, 2, 1]
    assert unit.events[2].data == {}


def test_idempotency_survives_reopening(url: str) -> None:
    for expected in (set(), {0}):
        log = EventLog(url)
        log.start(lambda recorded, batch: None)
        unit = Unit([event(id="1")])
        log.commit(unit)
        assert unit.duplicates == expected
        log.close()


def test_numbering_goes_on_after_reopening(url: str) -> None:
    for expected in (1, 2, 3):
        log = EventLog(url)
        log.start(lambda recorded, batch: None)
        assert append(log, event())[0].sequence == expected
        assert [seen.type for seen in log.types()] == ["a.b"]
        log.close()


def test_threads_that_append_at_once_get_sequences_without_a_hole(log: EventLog) -> None:
    found: list[int] = []
    heard: list[int] = []
    log.add_listener(lambda events: heard.extend(e.sequence or 0 for e in events))

    def work() -> None:
        for _ in range(25):
            found.extend(e.sequence or 0 for e in append(log, event(), event()))

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(found) == list(range(1, 401))
    assert heard == list(range(1, 401))  # in order, although eight threads committed


def test_what_a_listener_is_told_can_be_read(log: EventLog) -> None:
    seen: list[tuple[int, int]] = []

    def look(events: list[Event]) -> None:
        chunk = log.read(0)
        seen.append((events[-1].sequence or 0, chunk.position))

    log.add_listener(look)
    for _ in range(3):
        append(log, event())
    log.remove_listener(look)
    append(log, event())
    assert seen == [(1, 1), (2, 2), (3, 3)]


def test_a_listener_that_fails_disturbs_nobody(log: EventLog) -> None:
    heard: list[int] = []

    def broken(events: list[Event]) -> None:
        raise RuntimeError("broken listener")

    log.add_listener(broken)
    log.add_listener(lambda events: heard.append(len(events)))
    append(log, event())
    assert heard == [1]
    assert log.last_sequence == 1


def test_the_version_grows_with_every_commit(log: EventLog) -> None:
    before = log.version
    append(log, event())
    between = log.version
    log.commit(Unit(call=lambda conn: None))
    assert before < between < log.version


def test_a_unit_that_breaks_takes_nothing_else_down(log: EventLog) -> None:
    # Both wait in one batch: the first commit holds the lock while they queue up.
    def breaks(conn: object) -> None:
        raise ZeroDivisionError("this state change is wrong")

    good, bad = Unit([event(id="good")]), Unit([event(id="bad")], call=breaks)

    def queue_both(conn: object) -> None:
        log.submit(bad)
        log.submit(good)

    log.commit(Unit(call=queue_both))
    with pytest.raises(ZeroDivisionError, match="state change is wrong"):
        log.wait(bad)
    log.wait(good)
    assert [e.id for e in everything(log)] == ["good"]
    assert good.events[0].sequence == 1
    assert bad.events[0].sequence is None


@pytest.mark.sqlite
def test_a_full_disk_refuses_clearly_and_leaves_nothing_half_written(log: EventLog) -> None:
    append(log, event(id="before"))
    writer = log._database.writer
    pages = writer.exec_driver_sql("PRAGMA page_count").scalar()
    writer.exec_driver_sql(f"PRAGMA max_page_count = {pages}")
    writer.rollback()
    big = {"text": "x" * 100_000}
    with pytest.raises(LogWriteError, match="nothing was recorded"):
        append(log, event(id="small"), event(id="big", data=big))
    assert [e.id for e in everything(log)] == ["before"]
    assert log.last_sequence == 1

    writer.exec_driver_sql("PRAGMA max_page_count = 1000000")
    writer.rollback()
    assert [e.sequence for e in append(log, event(id="small"), event(id="big", data=big))] == [2, 3]


@pytest.mark.sqlite
def test_a_second_opener_is_refused_with_a_clear_error(log: EventLog, url: str) -> None:
    with pytest.raises(LogLockedError, match="is open in this process already"):
        EventLog(url)
    assert append(log, event())[0].sequence == 1


def test_the_lock_is_given_back_on_closing(url: str) -> None:
    for _ in range(2):
        log = EventLog(url)
        log.start(lambda recorded, batch: None)
        log.close()


def test_a_closed_log_takes_nothing(url: str) -> None:
    log = EventLog(url)
    log.start(lambda recorded, batch: None)
    log.close()
    for write in (log.commit, log.submit):
        with pytest.raises(BusClosedError, match="not recorded"):
            write(Unit([event()]))


@pytest.mark.parametrize(
    "wrong", ["postgresql://u:secret@host/x", "nonsense", "sqlite:////proc/nowhere/events.db"]
)
def test_a_url_that_cannot_be_opened_is_refused(wrong: str) -> None:
    with pytest.raises(LogError) as caught:
        EventLog(wrong)
    assert "secret" not in str(caught.value)


@pytest.mark.sqlite
def test_a_file_that_is_no_database_is_refused(url: str) -> None:
    path = Path(url.removeprefix("sqlite:///"))
    path.write_bytes(b"this is not a database, and long enough to be seen as such" * 20)
    with pytest.raises(LogError, match="cannot open the log"):
        EventLog(url)


def test_a_temporary_log_leaves_no_file_behind() -> None:
    log = EventLog("sqlite://")
    log.start(lambda recorded, batch: None)
    directory = log._database.path.parent
    append(log, event())
    log.close()
    assert not directory.exists()


def test_a_text_that_no_event_can_have_is_found_nowhere(log: EventLog) -> None:
    append(log, event(id="a", subject="a"))
    assert log.get("a\0") is None
    assert log.get("a", "\0") is None
    assert log.trace("a\0") is None
    assert log.query(EventQuery(subject="a\0", correlation="\0")).events == []


def test_read_stops_at_its_limit_and_upper_end(log: EventLog) -> None:
    append(log, *(event(f"t{n % 2}") for n in range(10)))
    assert [e.sequence for e in log.read(3, limit=4).events] == [4, 5, 6, 7]
    assert log.read(3, limit=4).position == 7
    assert [e.sequence for e in log.read(3, upto=6).events] == [4, 5, 6]
    assert log.read(3, upto=6).position == 6
    odd = log.read(0, pattern=Pattern("t1"))
    assert ([e.sequence for e in odd.events], odd.position) == ([2, 4, 6, 8, 10], 10)
    assert log.read(0, pattern=Pattern("none.*")).position == 10
    assert log.read(99).position == 99
    assert log.read(99).events == []
