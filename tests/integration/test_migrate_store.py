"""`flask migrate-store`: a log copied to PostgreSQL and back, cut off, resumed, and compared."""

from __future__ import annotations

import signal
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from app import create_app
from app.config import Settings
from bench.filling import fill
from eventbus.errors import LogError, LogLockedError, MoveError
from eventbus.log import EventLog
from eventbus.log.database import open_database
from eventbus.log.integrity import open_read_only
from eventbus.log.move import rows
from eventbus.log.move.move import Step
from eventbus.log.move.parts import LEFT_OUT, Parts
from eventbus.log.sqlite import SqliteDatabase
from tests.helpers.databases import ON_POSTGRESQL
from tests.helpers.disks import damage
from tests.helpers.stores import PARTS, command, ended, move, odd_log, sql
from tests.helpers.waiting import wait_until
from tests.services import ServiceError

pytestmark = pytest.mark.skipif(ON_POSTGRESQL, reason="it has databases of both kinds itself")


def test_every_table_that_the_app_makes_is_copied_or_left_out_with_a_reason(
    tmp_path: Path,
) -> None:
    url = f"sqlite:///{tmp_path / 'events.db'}"
    app = create_app(Settings(database_url=url))
    with app.app_context():
        app.test_client().post("/api/events", json={"type": "a.b"})
    app.extensions["eventbus"].stop()
    with closing(open_read_only(tmp_path / "events.db")) as conn:
        names = {
            name
            for (name,) in conn.execute("SELECT name FROM sqlite_schema WHERE type = 'table'")
            if not name.startswith("sqlite_")
        }
    database = SqliteDatabase(url)
    with closing(database), database.writer.begin():
        copied = {table.name for table in PARTS.tables(database.writer, "it")}
        PARTS.check_versions(database.writer, "it")
    assert names - copied == LEFT_OUT.keys() & names
    assert all(len(reason) > 20 for reason in LEFT_OUT.values())
    assert {table.name for table in PARTS.declared} - copied <= LEFT_OUT.keys()


def test_a_move_that_is_cut_off_again_and_again_ends_with_every_row_as_it_was(
    tmp_path: Path, target: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = odd_log(tmp_path / "events.db")
    monkeypatch.setattr(rows, "_CHUNK_ROWS", 5)
    steps: list[Step] = []
    cuts = 0
    while True:
        moving = move(source, target, tmp_path, steps)
        begun = len(steps)

        def cut(step: Step, begun: int = begun) -> None:
            steps.append(step)
            done = {each.done for each in steps[begun:]}
            if step.phase == "copying" and len(done) > 3:
                raise KeyboardInterrupt

        moving._tell = cut
        try:
            moved = moving.run("me")
            break
        except KeyboardInterrupt:
            cuts += 1
    assert cuts > 4
    assert moved.is_same
    assert sum(table.rows for table in moved.tables) == steps[-1].total
    # None was copied twice: the number of rows that are done only grows.
    done = [step.done for step in steps if step.phase == "copying"]
    assert done == sorted(done)
    # What PostgreSQL's text cannot have is shown, not lost.
    assert sql(target, "SELECT error_message FROM attempts WHERE sequence = 3") == "Z\u2400Z"

    back = f"sqlite:///{tmp_path / 'back.db'}"
    returned = move(target, back, tmp_path).run("me")
    assert returned.is_same
    assert [table for table in returned.tables if table.table != "scheduled"] == [
        table for table in moved.tables if table.table != "scheduled"
    ]
    assert sorted(path.name for path in tmp_path.glob("back.db*")) == ["back.db", "back.db-lock"]


def test_a_killed_command_goes_on_and_no_server_opens_what_is_not_whole(
    tmp_path: Path, target: str
) -> None:
    fill(str(tmp_path), 30_000)
    source = f"sqlite:///{tmp_path / 'events.db'}"

    def copied() -> int:
        try:
            return int(sql(target, "SELECT coalesce(sum(rows), 0) FROM unfinished_move"))
        except ServiceError:
            return 0  # not yet there

    first = command(tmp_path, source, target)
    wait_until(lambda: copied() > 0, "it copies", 60.0)
    assert first.is_running, "it was too quick for this test"
    first.send_signal(signal.SIGKILL)
    first.ended()
    before = copied()
    assert before > 0
    with pytest.raises(LogError, match="`flask migrate-store` into it has not ended"):
        EventLog(target, tmp_path)
    with pytest.raises(LogError, match="has not ended"):
        move(source, target, tmp_path).check()

    second = command(tmp_path, source, target)
    wait_until(lambda: copied() > before, "it goes on", 60.0)
    second.send_signal(signal.SIGINT)
    code, said = ended(second)
    assert code == 130, said
    assert "the same command goes on" in said

    code, said = ended(command(tmp_path, source, target))
    assert code == 0, said
    assert "all the same" in said
    (line,) = (line for line in said.splitlines() if line.startswith("copied"))
    assert 0 < int(line.split()[1].replace(",", "")) < 50_000
    with pytest.raises(MoveError, match="has a log already"):
        move(source, target, tmp_path).run("me")
    assert move(source, target, tmp_path).check().is_same


def test_every_kind_of_difference_is_found_and_nothing_else(tmp_path: Path, target: str) -> None:
    source = odd_log(tmp_path / "events.db")
    assert move(source, target, tmp_path).run("me").is_same
    assert move(source, target, tmp_path).check().is_same
    changes = {
        "UPDATE events SET data = '{}' WHERE sequence = 6": "events[sequence=6]: data is",
        "DELETE FROM deliveries WHERE sequence = 42": "subscription=7] is not in the target",
        "INSERT INTO queues VALUES ('q', 1, 1, 1, 1, 1)": "queues[name='q'] is not in the source",
        "UPDATE files SET is_deleted = true WHERE path = 'Z'": "is_deleted is 0 and in the",
        "UPDATE metrics SET added = added * 2 WHERE name = 'b'": "metrics[name='b']: added is",
        "SELECT setval('subscriptions_id_seq', 2)": "would go on behind 2, and 7 was given",
        "UPDATE schema_versions SET version = 1 WHERE component = 'log'": "has version 1 of",
        "DROP TABLE webhooks": "webhooks is not in the target",
    }
    for change in changes:
        sql(target, change)
    checked = move(source, target, tmp_path).check()
    said = [*checked.findings, *(each.difference for each in checked.tables if each.difference)]
    for found in changes.values():
        assert any(found in sentence for sentence in said), (found, said)
    assert len(said) == len(changes)


def test_numbers_that_were_given_once_are_not_given_again_on_either_side(
    tmp_path: Path, target: str
) -> None:
    source = odd_log(tmp_path / "events.db")
    with sqlite3.connect(tmp_path / "events.db") as conn:
        conn.execute("INSERT INTO access_tokens VALUES (41, 'n', 'd', 's', NULL, 'b', 1, 1, 1)")
        conn.execute("DELETE FROM access_tokens")
    conn.close()
    assert move(source, target, tmp_path).run("me").is_same
    give = "INSERT INTO access_tokens (name, digest, scopes, created_by, created_us) VALUES "
    assert sql(target, f"{give} ('n', 'd', 's', 'b', 1) RETURNING id") == "42"
    assert sql(
        target,
        "INSERT INTO subscriptions (name, pattern, created_us, since_sequence) "
        "VALUES ('s', '#', 1, 0) RETURNING id",
    ) == "8"  # fmt: skip
    sql(target, "DELETE FROM access_tokens")
    assert move(target, f"sqlite:///{tmp_path / 'back.db'}", tmp_path).run("me").is_same
    with sqlite3.connect(tmp_path / "back.db") as conn:
        conn.execute(f"{give} ('n', 'd', 's', 'b', 1)")
        assert conn.execute("SELECT id FROM access_tokens").fetchone() == (43,)
    conn.close()


def test_what_cannot_be_moved_is_refused_and_nothing_changes(tmp_path: Path, target: str) -> None:
    source = odd_log(tmp_path / "events.db")
    moving = move(source, target, tmp_path)
    with closing(EventLog(source)), pytest.raises(LogLockedError):
        moving.run("me")
    with closing(open_database(target, tmp_path / "other")), pytest.raises(LogLockedError):
        moving.run("me")
    sql(target, "CREATE TABLE notes (n integer)")
    with pytest.raises(MoveError, match="is not empty, it has notes"):
        moving.run("me")
    sql(target, "DROP TABLE notes")
    with sqlite3.connect(tmp_path / "events.db") as conn:
        conn.execute("CREATE TABLE mine (n INTEGER PRIMARY KEY)")
    conn.close()
    with pytest.raises(MoveError, match="knows nothing: mine; name each with --leave-out"):
        moving.run("me")
    assert sql(target, "SELECT count(*) FROM pg_tables WHERE schemaname = current_schema()") == "0"
    with pytest.raises(MoveError, match="there is no log at"):
        move(f"sqlite:///{tmp_path / 'nothing.db'}", target, tmp_path).run("me")
    assert not (tmp_path / "nothing.db").exists()
    with pytest.raises(MoveError, match="the same database"):
        move(source, source, tmp_path)
    known = Parts(PARTS.components, PARTS.declared, ["mine"])
    moving._parts = known
    assert moving.run("me").is_same
    with pytest.raises(MoveError, match="is there already; nothing is ever overwritten"):
        move(target, source, tmp_path).run("me")
    wrong = ["migrate-store", source, "mysql://me:secret@host/x"]
    said = create_app(Settings(database_url=source)).test_cli_runner().invoke(args=wrong)
    assert said.exit_code == 2
    assert "names no database" in said.stderr
    assert "secret" not in said.output


def test_a_source_that_has_changed_is_not_copied_on(
    tmp_path: Path, target: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = odd_log(tmp_path / "events.db")
    moving = move(source, target, tmp_path)

    def cut(step: Step) -> None:
        if step.done > 3:
            raise KeyboardInterrupt

    moving._tell = cut
    with pytest.raises(KeyboardInterrupt):
        moving.run("me")
    with sqlite3.connect(tmp_path / "events.db") as conn:
        conn.execute("DELETE FROM events WHERE sequence = 3")
    conn.close()
    with pytest.raises(MoveError, match="is not what it was when the copy"):
        move(source, target, tmp_path).run("me")


def test_a_damaged_log_is_not_copied(tmp_path: Path, target: str) -> None:
    fill(str(tmp_path), 600)
    damage(tmp_path / "events.db", b"mmlu")
    with pytest.raises(MoveError, match="damaged and was not copied|the copy has stopped"):
        move(f"sqlite:///{tmp_path / 'events.db'}", target, tmp_path).run("me")
    assert sql(target, "SELECT count(*) FROM pg_tables WHERE schemaname = current_schema()") == "0"
