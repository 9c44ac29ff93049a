"""Backup and restore: a copy of one moment, proved, and put in place whole or not at all."""

from __future__ import annotations

import os
import threading
import time
from pathlib import Path

import pytest

from eventbus import EventBus
from eventbus.errors import BackupError, LogError, LogLockedError
from eventbus.log.backup import make_backup
from eventbus.log.companions import COMPANIONS, Companion
from eventbus.log.integrity import IntegrityCheck
from eventbus.log.lockfile import LockFile
from eventbus.log.restore import RESTORED, prove_backup, restore_backup
from tests.helpers.bus import LONG_S, open_bus
from tests.helpers.disks import damage
from tests.helpers.waiting import wait_until, within

pytestmark = pytest.mark.sqlite

NONE: dict[str, int] = {}


def types(url: str) -> list[str]:
    with open_bus(url) as bus:
        return [event.type for event in bus.log.read(0).events]


@pytest.fixture
def database(tmp_path: Path) -> Path:
    return tmp_path / "events.db"


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    return tmp_path / "copy.db"


def test_a_backup_is_of_one_moment_while_others_publish_at_their_usual_pace(
    bus: EventBus, database: Path, copy: Path
) -> None:
    bus.publish_many([{"type": "a", "data": {"text": "x" * 2_000}} for _ in range(5_000)])
    stopping = threading.Event()
    slowest = [0.0]
    count = [0]

    def publish() -> None:
        while not stopping.is_set():
            started = time.monotonic()
            bus.publish_many([{"type": "b", "data": {"text": "y" * 500}}] * 20)
            slowest[0] = max(slowest[0], time.monotonic() - started)
            count[0] += 20

    threads = [threading.Thread(target=publish) for _ in range(3)]
    for thread in threads:
        thread.start()
    wait_until(lambda: count[0] > 100, "they publish")
    before = bus.log.last_sequence
    steps: list[tuple[int, int]] = []
    seen = []

    def progress(done: int, total: int) -> None:
        steps.append((done, total))
        seen.append(count[0])

    made = make_backup(database, copy, progress)
    after = bus.log.last_sequence
    stopping.set()
    for thread in threads:
        thread.join(LONG_S)
    assert before <= made.last_sequence <= after
    assert made.event_count == made.last_sequence  # no hole, nothing of a later moment
    assert len(steps) > 5
    assert steps[-1][0] == steps[-1][1] >= made.size_bytes // 4_096
    assert seen[-1] > seen[0], "nobody could publish while it was copied"
    assert slowest[0] < within(2.0)
    assert sorted(file.name for file in copy.parent.glob("copy*")) == ["copy.db"]
    report = IntegrityCheck(copy).run()
    assert report is not None
    assert report.is_ok


def test_a_restored_backup_has_everything_up_to_its_moment_and_goes_on(
    url: str, database: Path, copy: Path
) -> None:
    with open_bus(url) as bus:
        bus.publish("a")
        made = make_backup(database, copy)
        bus.publish("later")
    restored = restore_backup(copy, database, NONE)
    assert (restored.report.event_count, restored.report.last_sequence) == (1, 1)
    assert made.last_sequence == 1
    assert types(url) == ["a", RESTORED]
    assert restored.kept is not None
    assert types(f"sqlite:///{restored.kept}") == ["a", "later"]
    with open_bus(url) as bus:
        assert not bus.log.owes_check
        assert bus.publish("b").event.sequence == 3
        assert bus.log.read(1).events[0]["backup"] == "copy.db"


def test_what_was_committed_last_before_a_crash_is_kept_with_the_old_database(
    url: str, database: Path, copy: Path, run_process: object
) -> None:
    with open_bus(url) as bus:
        bus.publish("a")
        make_backup(database, copy)
    run_process("bus.publish('in the journal'.replace(' ', '_')); die()")  # type: ignore[operator]
    assert database.with_name("events.db-wal").stat().st_size > 0
    restored = restore_backup(copy, database, NONE)
    assert types(url) == ["a", RESTORED]
    assert types(f"sqlite:///{restored.kept}") == ["a", "in_the_journal"]


def test_a_backup_overwrites_nothing(bus: EventBus, database: Path, copy: Path) -> None:
    copy.write_bytes(b"mine")
    with pytest.raises(BackupError, match="never overwrites"):
        make_backup(database, copy)
    assert copy.read_bytes() == b"mine"
    with pytest.raises(BackupError, match="does not exist"):
        make_backup(database, copy.parent / "nowhere" / "copy.db")
    with pytest.raises(BackupError, match="no log"):
        make_backup(copy.parent / "nothing.db", copy.parent / "copy2.db")


def test_a_damaged_log_makes_no_backup_and_a_damaged_backup_is_not_restored(
    url: str, database: Path, copy: Path, tmp_path: Path
) -> None:
    with open_bus(url) as bus:
        bus.publish_many([{"type": "a", "data": {"text": "x" * 500}}] * 300)
        make_backup(database, copy)
    damage(copy)
    before = database.read_bytes()
    with pytest.raises(BackupError, match="damaged"):
        restore_backup(copy, database, NONE)
    assert database.read_bytes() == before
    assert not list(tmp_path.glob("*before-restore*"))
    with open_bus(url) as bus:
        assert bus.publish("b").event.sequence == 301
    damage(database)
    with pytest.raises(BackupError, match="damaged"):
        make_backup(database, tmp_path / "another.db")
    assert not list(tmp_path.glob("another*"))


def test_a_restored_database_belongs_to_whom_the_one_before_belonged(
    url: str, database: Path, copy: Path
) -> None:
    with open_bus(url) as bus:
        bus.publish("a.b")
        make_backup(database, copy)
    owner = 12345 if os.geteuid() == 0 else os.geteuid()  # a service's, and root restores
    os.chown(database, owner, -1)
    database.chmod(0o640)
    restore_backup(copy, database, NONE)
    assert (database.stat().st_uid, database.stat().st_mode & 0o777) == (owner, 0o640)
    assert database.with_name(database.name + "-lock").stat().st_uid == owner


def test_a_database_that_is_open_is_not_replaced(bus: EventBus, database: Path, copy: Path) -> None:
    make_backup(database, copy)
    with pytest.raises(LogLockedError, match="open in this process already"):
        restore_backup(copy, database, NONE)
    with pytest.raises(BackupError, match="the database itself"):
        restore_backup(database, database, NONE)
    assert bus.publish("a").event.sequence == 1


def test_what_is_no_backup_or_of_newer_software_is_refused(
    url: str, database: Path, copy: Path, tmp_path: Path
) -> None:
    with pytest.raises(BackupError, match="no backup"):
        prove_backup(copy, NONE)
    copy.write_text("no database" * 100)
    with pytest.raises(BackupError, match="not the backup of a log"):
        prove_backup(copy, NONE)
    with open_bus(url) as bus:
        with bus.log._database.writer.begin() as transaction:
            transaction.connection.exec_driver_sql(
                "INSERT INTO schema_versions VALUES ('screens', 7)"
            )
        newer = make_backup(database, tmp_path / "newer.db").path
    with pytest.raises(BackupError, match="screens schema has version 7.* up to 6"):
        prove_backup(newer, {"screens": 6})
    assert prove_backup(newer, {"screens": 7}).is_ok


def test_a_restore_that_was_cut_off_leaves_no_database_to_start_on(
    url: str, database: Path, copy: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with open_bus(url) as bus:
        bus.publish("a")
        make_backup(database, copy)

    rename = Path.rename

    def power_cut(path: Path, to: Path) -> Path:
        if to == database:
            raise OSError("power cut")
        return rename(path, to)

    with monkeypatch.context() as patch:
        patch.setattr(Path, "rename", power_cut)
        with pytest.raises(BackupError, match="power cut"):
            restore_backup(copy, database, NONE)
    for _ in range(2):
        with pytest.raises(LogError, match="run `flask restore` again"):
            open_bus(url)
    restore_backup(copy, database, NONE)
    assert types(url) == ["a", RESTORED]


def test_a_companion_with_data_travels_with_the_log(
    url: str, database: Path, copy: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ours = (*COMPANIONS, Companion("-more", "more", is_data=True))
    for module in ("backup", "restore"):
        monkeypatch.setattr(f"eventbus.log.{module}.COMPANIONS", ours)
    with open_bus(url) as bus:
        bus.publish("a")
        make_backup(database, database.with_name("more.db"))
        database.with_name("more.db").rename(database.with_name("events.db-more"))
        make_backup(database, copy)
    assert copy.with_name("copy.db-more").exists()
    database.with_name("events.db-more").unlink()
    restore_backup(copy, database, NONE)
    assert types(f"sqlite:///{database.with_name('events.db-more')}") == ["a"]


def test_the_lock_says_how_its_holder_ended(database: Path) -> None:
    lock = LockFile(database)
    assert lock.found_state == ""
    lock.close(is_clean=False)
    lock = LockFile(database, "restoring")
    assert lock.found_state == "running"
    lock.close(is_clean=False)
    lock = LockFile(database)
    assert lock.found_state == "restoring"
    lock.close()
    lock = LockFile(database)
    assert lock.found_state == ""
    lock.close()
