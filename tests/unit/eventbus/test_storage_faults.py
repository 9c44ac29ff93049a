"""A storage that is full, read-only, damaged or out of reach: said at once, healed by itself."""

from __future__ import annotations

import os
import resource
import subprocess
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Connection
from sqlalchemy.exc import IntegrityError

from eventbus import Event, EventBus
from eventbus.errors import (
    LogDamagedError,
    LogError,
    LogReadError,
    LogWriteError,
)
from eventbus.log import EventLog
from eventbus.log.integrity import IntegrityCheck
from eventbus.log.unit import Unit
from tests.helpers.bus import LONG_S, Recorder, open_bus
from tests.helpers.disks import (
    allow_writing,
    damage,
    fill_up,
    forbid_writing,
    make_read_only,
    make_room,
    mounted_disk,
    pragma,
)
from tests.helpers.waiting import wait_until

pytestmark = pytest.mark.sqlite

BIG = {"text": "x" * 100_000}


def parts(bus: EventBus) -> list[str]:
    return [trouble.part for trouble in bus.troubles()]


def tables(bus: EventBus) -> list[str]:
    with bus.log.reading() as conn:
        return list(conn.exec_driver_sql("SELECT name FROM sqlite_schema").scalars())


def path_of(url: str) -> Path:
    return Path(url.removeprefix("sqlite:///"))


# -- full ---------------------------------------------------------------------------------------


def test_a_full_disk_is_told_until_there_is_room_though_nobody_publishes(bus: EventBus) -> None:
    assert bus.troubles() == []
    fill_up(bus)
    with pytest.raises(LogWriteError, match="full"):
        bus.publish("a", BIG)
    (trouble,) = bus.troubles()
    assert trouble.part == "storage"
    assert "full" in trouble.detail
    make_room(bus)
    wait_until(lambda: not bus.troubles(), "it looks by itself whether there is room")
    wait_until(lambda: "storage_probe" not in tables(bus), "it takes its trial away")


def test_a_full_file_system_takes_nothing_by_halves_and_no_handler_runs_again(
    tmp_path: Path,
) -> None:
    with mounted_disk(tmp_path / "disk", 4_096) as disk:
        entered, go_on = threading.Event(), threading.Event()
        calls = Recorder()

        def handle(event: Event) -> None:
            calls(event)
            entered.set()
            assert go_on.wait(LONG_S)
            bus.publish("further", {"text": "y" * 200_000})

        with open_bus(f"sqlite:///{disk / 'events.db'}") as bus:
            bus.subscribe("a", handle, name="mine", max_attempts=1)
            acknowledged = [bus.publish("a").event.id]
            assert entered.wait(LONG_S)
            ballast = disk / "ballast"
            with ballast.open("wb", buffering=0) as file, pytest.raises(OSError, match="No space"):
                while True:
                    file.write(b"0" * 4_096)
            refused = 0
            while refused < 3:
                try:
                    acknowledged.append(bus.publish("b", {"text": "x" * 20_000}).event.id)
                except LogWriteError:
                    refused += 1
            go_on.set()
            wait_until(lambda: parts(bus) == ["storage"], "the trouble is told")
            wait_until(lambda: not bus.running(), "the handler has returned")
            assert bus.log.deliveries(1)[0].state == "pending"
            ballast.unlink()
            wait_until(lambda: bus.log.deliveries(1)[0].state == "succeeded", "it goes on")
            wait_until(lambda: not bus.troubles(), "all is well")
            assert len(calls.events) == 1
            assert bus.log.deliveries(1)[0].attempt == 1
            found = bus.log.read(0).events
            assert [event.id for event in found if event.type != "further"] == acknowledged
            assert [event.type for event in found].count("further") == 1
        report = IntegrityCheck(disk / "events.db").run()
        assert report is not None
        assert report.is_ok, report


# -- read-only ----------------------------------------------------------------------------------


def test_a_log_on_a_read_only_disk_is_refused_with_a_reason(tmp_path: Path) -> None:
    with mounted_disk(tmp_path / "disk", 4_096) as disk:
        url = f"sqlite:///{disk / 'events.db'}"
        with open_bus(url) as bus:
            bus.publish("a")
        make_read_only(disk)
        with pytest.raises(LogError, match=r"cannot open the log .*Read-only file system"):
            open_bus(url)


def test_a_file_that_cannot_be_written_is_refused_with_a_reason(url: str) -> None:
    with open_bus(url) as bus:
        bus.publish("a")
    # Even root may not write to it; where chattr does nothing, so does this test.
    path = path_of(url)
    changed = subprocess.run(["chattr", "+i", str(path)], capture_output=True, text=True)
    if changed.returncode != 0:
        pytest.skip(f"no file can be made immutable here: {changed.stderr}")
    try:
        with pytest.raises(LogError, match="cannot open the log"):
            open_bus(url)
    finally:
        subprocess.run(["chattr", "-i", str(path)], check=True)
    with open_bus(url) as bus:
        assert bus.publish("a").event.sequence == 2


def test_a_disk_that_becomes_read_only_refuses_events_and_still_shows_them(bus: EventBus) -> None:
    bus.publish("a")
    forbid_writing(bus)  # what SQLite answers then is what it answers on EROFS
    with pytest.raises(LogWriteError, match="readonly"):
        bus.publish("b")
    assert parts(bus) == ["storage"]
    assert [event.type for event in bus.log.read(0).events] == ["a"]
    allow_writing(bus)
    wait_until(lambda: not bus.troubles(), "it heals by itself")
    assert bus.publish("c").event.sequence == 2


# -- damaged ------------------------------------------------------------------------------------


def full_log(url: str, count: int = 300) -> None:
    with open_bus(url) as bus:
        bus.publish_many([{"type": "a", "data": {"text": "x" * 500}} for _ in range(count)])


def test_a_damaged_page_is_found_by_the_check(url: str) -> None:
    full_log(url)
    damage(path_of(url))
    report = IntegrityCheck(path_of(url), "quick").run()
    assert report is not None
    assert report.problems
    assert not report.is_ok


def test_a_damaged_log_takes_no_more_events_and_does_not_start_again(url: str) -> None:
    full_log(url)
    damage(path_of(url))
    with open_bus(url) as bus:
        with pytest.raises(LogReadError, match="malformed"):
            for sequence in range(1, 301):
                bus.log.get_by_sequence(sequence)
        assert "damage" in parts(bus)
        with pytest.raises(LogDamagedError, match="flask restore"):
            bus.publish("b")
        (told, *_) = bus.troubles()
        assert "flask restore" in told.detail
    with pytest.raises(LogDamagedError, match="flask restore"):
        open_bus(url)


def test_a_damage_that_a_write_meets_is_for_good(url: str) -> None:
    full_log(url)
    with open_bus(url) as bus:

        def meets(conn: Connection) -> None:
            conn.exec_driver_sql("PRAGMA writable_schema = ON")
            conn.exec_driver_sql("INSERT INTO sqlite_schema VALUES ('table','t','t',9,'nonsense')")
            conn.exec_driver_sql("PRAGMA writable_schema = RESET")
            conn.exec_driver_sql("SELECT * FROM t")

        with pytest.raises(LogDamagedError):
            bus.log.commit(Unit([Event.create("b")], call=meets))
        with pytest.raises(LogDamagedError):
            bus.publish("c")
    # It was rolled back, the next start finds the file whole and takes events again.
    with open_bus(url) as bus:
        assert bus.publish("d").event.sequence == 301


def test_a_log_whose_first_page_is_gone_is_refused_with_what_to_do(url: str) -> None:
    full_log(url)
    with path_of(url).open("r+b") as file:
        file.seek(100)
        file.write(b"\xa5" * 3_000)
    with pytest.raises(LogDamagedError, match="damaged .*flask restore"):
        open_bus(url)


# -- out of reach -------------------------------------------------------------------------------


def test_too_many_open_files_refuse_a_read_until_some_are_closed(bus: EventBus) -> None:
    bus.publish("a")
    limits = resource.getrlimit(resource.RLIMIT_NOFILE)
    lowest = os.dup(0)
    os.close(lowest)
    bus.log._database._read_engine.dispose()  # so that the next read has to open the file
    taken = os.dup(0)
    resource.setrlimit(resource.RLIMIT_NOFILE, (taken + 1, limits[1]))
    try:
        with pytest.raises(LogReadError, match="unable to open"):
            bus.log.read(0)
        assert parts(bus) == ["storage"]
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, limits)
        os.close(taken)
    assert [event.type for event in bus.log.read(0).events] == ["a"]
    wait_until(lambda: not bus.troubles(), "all is well")


def test_a_second_name_of_the_database_is_refused(bus: EventBus, tmp_path: Path) -> None:
    bus.publish("a")
    (tmp_path / "other.db").hardlink_to(tmp_path / "events.db")
    with pytest.raises(LogError, match="2 names"):
        open_bus(f"sqlite:///{tmp_path / 'other.db'}")
    assert bus.publish("b").event.sequence == 2


def test_a_commit_that_does_not_end_is_told_until_it_does(
    bus: EventBus, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("eventbus.watchdog._STUCK_COMMIT_S", 0.2)
    go_on = threading.Event()
    unit = Unit([Event.create("a")], call=lambda conn: go_on.wait(LONG_S) and None)
    thread = threading.Thread(target=bus.log.commit, args=(unit,))
    thread.start()
    (trouble,) = wait_until(bus.troubles, "it is told")
    assert "a commit has not ended" in trouble.detail
    go_on.set()
    thread.join(LONG_S)
    wait_until(lambda: not bus.troubles(), "it is over")


# -- memory and what nobody expects -------------------------------------------------------------


def test_a_commit_without_memory_is_made_again_and_no_handler_runs_again(
    bus: EventBus, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("eventbus.dispatcher._STORAGE_RETRY_S", 0.01)
    left = [MemoryError()] * 3

    def apply(_conn: Connection, _params: list[Any]) -> None:
        if left:
            raise left.pop()

    calls = Recorder(lambda event: bus.effect(apply, None))
    bus.subscribe("a", calls, name="mine", max_attempts=1)
    bus.publish("a")
    wait_until(lambda: bus.log.deliveries(1)[0].state == "succeeded", "it is committed in the end")
    assert len(calls.events) == 1
    wait_until(lambda: not bus.troubles(), "all is well")


def test_a_state_change_that_exits_fails_alone_and_ends_no_thread(bus: EventBus) -> None:
    def leave(_conn: Connection, _params: list[Any]) -> None:
        raise SystemExit(1)

    bus.subscribe("a", lambda event: bus.effect(leave, None), name="mine", max_attempts=1)
    bus.subscribe("a", other := Recorder(), name="other")
    for _ in range(2):  # the second one waits behind the first, of the same subject
        states = {d.subscription: d for d in bus.publish("a").deliveries(LONG_S)}
        assert states["mine"].state == "dead"
        assert "SystemExit" in (states["mine"].error_message or "")
        assert states["other"].state == "succeeded"
    assert len(other.events) == 2
    assert bus.log.is_writer_alive
    wait_until(lambda: not bus.troubles(), "all is well")


def test_one_unit_without_memory_costs_no_other(log: EventLog) -> None:
    def greedy(_conn: Connection, _params: Any) -> None:
        raise MemoryError

    units = [Unit([Event.create("a")]) for _ in range(20)]
    bad = Unit([Event.create("bad")], effects=[(greedy, None)])
    log._writer.write([*units[:7], bad, *units[7:]])
    assert isinstance(bad.error, LogWriteError)
    assert "memory" in str(bad.error)
    assert {unit.error for unit in units} == {None}


# -- the mark of an end in good order -----------------------------------------------------------


def owes(url: str) -> bool:
    log = EventLog(url)
    try:
        return log.owes_check
    finally:
        log.close()


def test_a_check_is_owed_after_a_crash_until_one_was_made(
    url: str, run_process: Callable[[str], object]
) -> None:
    full_log(url, 1)
    assert not owes(url)
    run_process("bus.publish('a'); die()")
    assert owes(url)
    assert owes(url)  # nobody has made it
    log = EventLog(url)
    report = IntegrityCheck(log.path, "quick").run()
    assert report is not None
    assert report.is_ok
    assert report.last_sequence == 2
    log.checked(report)
    log.close()
    assert not owes(url)


def test_a_check_ends_when_it_is_told_to(url: str) -> None:
    full_log(url)
    check = IntegrityCheck(path_of(url))
    check.interrupt()
    assert check.run() is None


def test_a_commit_between_commits_that_fails_leaves_no_transaction_open(bus: EventBus) -> None:
    def too_much(conn: Connection) -> None:
        conn.exec_driver_sql("PRAGMA defer_foreign_keys = ON")
        conn.exec_driver_sql("CREATE TABLE parent (id INTEGER PRIMARY KEY)")
        conn.exec_driver_sql("CREATE TABLE child (id INTEGER REFERENCES parent (id))")
        conn.exec_driver_sql("INSERT INTO child VALUES (1)")  # refused by COMMIT alone

    pragma(bus, "foreign_keys = ON")
    with pytest.raises(IntegrityError):
        bus.log.between_commits(too_much)
    assert bus.publish("a").wait(LONG_S).sequence == 1
