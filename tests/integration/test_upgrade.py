"""Upgrade and rollback: the app on databases of earlier versions, and an older program on ours."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from flask.testing import FlaskClient
from sqlalchemy import text

from app import create_app
from app.cli.backup import KNOWN_VERSIONS
from app.config import Settings
from eventbus.errors import BackupError, SchemaError
from eventbus.log import EventLog, ddl
from eventbus.log.backup import make_backup
from eventbus.log.migrations import LOG_MIGRATIONS, migrate
from eventbus.log.restore import restore_backup
from eventbus.log.sqlite import SqliteDatabase
from handlers.migrations import MIGRATIONS
from handlers.subscriptions import COMPONENT
from tests.helpers.commands import flask
from tests.helpers.server import ServerProcess
from tests.helpers.waiting import wait_until

FIRST, BEFORE = (1, 1), (len(LOG_MIGRATIONS) - 1, len(MIGRATIONS) - 1)


def database_of(path: Path, versions: tuple[int, int]) -> None:
    """A database as a program of earlier versions left it: with an event that nobody handled."""
    database = SqliteDatabase(f"sqlite:///{path}")
    conn = database.writer
    migrate(conn, "log", LOG_MIGRATIONS[: versions[0]])
    migrate(conn, COMPONENT, MIGRATIONS[: versions[1]])
    data = json.dumps({"eval_id": "e-1", "task": "math"})
    with conn.begin():
        conn.execute(text(
            "INSERT INTO subscriptions (id, name, pattern, created_us, since_sequence) "
            "VALUES (1, 'evaluation', 'evaluation.*', 0, 0)"
        ))  # fmt: skip
        conn.execute(
            text(
                "INSERT INTO events (sequence, id, source, type, subject, time_us, recorded_us, "
                "correlationid, depth, data) VALUES (1, 'old', '/old', 'evaluation.started', "
                "'e-1', 1700000000000000, 1700000000000000, 'old', 0, :data)"
            ),
            {"data": data},
        )
        conn.execute(text(
            "INSERT INTO deliveries (sequence, subscription, state, attempt) "
            "VALUES (1, 1, 'pending', 0)"
        ))  # fmt: skip
    database.close()


@contextmanager
def app_on(path: Path) -> Iterator[FlaskClient]:
    app = create_app(Settings(database_url=f"sqlite:///{path}"))
    try:
        yield app.test_client()
    finally:
        app.extensions["eventbus"].stop()


def counters(client: FlaskClient) -> dict[str, int]:
    answer: dict[str, Any] = client.get("/api/stats").get_json()
    found: dict[str, int] = answer["counters"]
    return found


@pytest.mark.parametrize("versions", [FIRST, (5, 4), BEFORE], ids=str)
def test_the_whole_app_opens_a_database_of_an_earlier_version_and_goes_on(
    tmp_path: Path, versions: tuple[int, int]
) -> None:
    path = tmp_path / "events.db"
    database_of(path, versions)
    with app_on(path) as client:
        assert client.get("/readyz").get_json()["status"] == "ready"
        wait_until(lambda: counters(client)["active"] == 1, "what was left undone is handled")
        completed = {"type": "evaluation.completed", "data": {"eval_id": "e-1"}}
        assert client.post("/api/events?wait=handled", json=completed).status_code == 202
        assert counters(client)["active"] == 0
        assert counters(client)["completed"] == 1
        assert client.get("/api/events/old").get_json()["data"]["task"] == "math"
        for page in ("/", "/events", "/evaluations", "/retries", "/handlers", "/flow", "/metrics"):
            assert client.get(page).status_code == 200, page


def test_an_older_program_says_what_to_do_with_a_newer_database(tmp_path: Path) -> None:
    path = tmp_path / "events.db"
    with app_on(path) as client:
        client.post("/api/events", json={"type": "a.b"})
    database = SqliteDatabase(f"sqlite:///{path}")
    with database.writer.begin():
        database.writer.execute(text("UPDATE schema_versions SET version = version + 1"))
    database.close()
    server = ServerProcess(tmp_path)
    server.launch()
    wait_until(lambda: not server.is_running, "it refuses", 30.0)
    assert "start the newer software or restore a backup" in server.output()
    # Twice: the refusal has changed nothing.
    with pytest.raises(SchemaError):
        EventLog(f"sqlite:///{path}")


def test_a_rollback_is_the_restore_of_the_backup_that_was_made_before(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, copy = tmp_path / "events.db", tmp_path / "before-upgrade.db"
    now = (len(LOG_MIGRATIONS), len(MIGRATIONS))
    database_of(path, now)
    made = make_backup(path, copy)
    assert made.event_count == 1
    newer = tmp_path / "newer.db"
    with monkeypatch.context() as patched:  # the program that comes after this one
        more = (*LOG_MIGRATIONS, lambda conn: ddl.run(conn, "CREATE TABLE later (id BIGINT)"))
        patched.setattr("eventbus.log.eventlog.LOG_MIGRATIONS", more)
        patched.setattr("eventbus.log.restore.LOG_MIGRATIONS", more)
        with app_on(path) as client:  # the upgrade
            client.post("/api/events", json={"type": "a.new"})
        make_backup(path, newer)

    known = {COMPONENT: now[1]}
    with pytest.raises(SchemaError, match="start the newer software"):
        EventLog(f"sqlite:///{path}")
    with pytest.raises(BackupError):
        restore_backup(newer, path, known)
    restored = restore_backup(copy, path, known)
    assert restored.kept is not None  # what the newer one wrote is not lost
    log = EventLog(f"sqlite:///{path}")
    try:
        assert [event.type for event in log.read(0).events] == [
            "evaluation.started", "bus.restored",
        ]  # fmt: skip
    finally:
        log.close()


def test_a_backup_of_a_database_of_an_earlier_version_can_be_made_with_the_newer_program(
    tmp_path: Path,
) -> None:
    path, copy = tmp_path / "events.db", tmp_path / "copy.db"
    database_of(path, BEFORE)
    result = flask("backup", copy, EVENTBUS_DATABASE_URL=f"sqlite:///{path}")
    assert result.code == 0, result.err
    database = SqliteDatabase(f"sqlite:///{copy}")
    with database.writer.begin():
        found = dict(database.writer.execute(text("SELECT * FROM schema_versions")).all())
    database.close()
    assert found == {"log": BEFORE[0], COMPONENT: BEFORE[1]}


def test_restore_knows_each_part_of_a_database_that_the_app_has_made(tmp_path: Path) -> None:
    path = tmp_path / "events.db"
    with app_on(path) as client:
        assert client.get("/api/stats").status_code == 200
    database = SqliteDatabase(f"sqlite:///{path}")
    found = dict(
        database.writer.execute(
            text("SELECT component, max(version) FROM schema_versions GROUP BY component")
        ).all()
    )
    database.close()
    assert found == {"log": len(LOG_MIGRATIONS), **KNOWN_VERSIONS}
