"""flask rebuild and /api/rebuild: on a running server and on a closed database."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import pytest
from flask import Flask

from app import create_app
from app.config import Settings
from tests.helpers.bus import LONG_S
from tests.helpers.waiting import wait_until


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "events.db"


def app_on(path: Path) -> Flask:
    # Port 9 (discard) has no server here: the commands find the database closed.
    return create_app(Settings(database_url=f"sqlite:///{path}", port=9))


def spoil(path: Path) -> None:
    conn = sqlite3.connect(path)
    with conn:
        conn.execute("UPDATE evaluations SET done = 9")
    conn.close()


def record(app: Flask) -> None:
    parts = app.extensions["eventbus"]
    parts.start()
    parts.bus.publish("evaluation.started", {"eval_id": "e1"})
    assert parts.bus.drain(LONG_S)


def test_a_closed_database_is_checked_rebuilt_and_checked_again(path: Path) -> None:
    app = app_on(path)
    record(app)
    app.extensions["eventbus"].stop()
    run = app_on(path).test_cli_runner().invoke
    assert run(args=["rebuild", "--check"]).exit_code == 0
    spoil(path)
    checked = run(args=["rebuild", "--check"])
    assert checked.exit_code == 1
    assert "evaluations[eval_id='e1']: done is 9, a replay gives 0" in checked.output
    rebuilt = run(args=["rebuild"])
    assert rebuilt.exit_code == 0 and "1 rows differed and were replaced" in rebuilt.output
    assert run(args=["rebuild", "--check"]).exit_code == 0
    again = app_on(path)
    again.extensions["eventbus"].start()
    try:
        types = [seen.type for seen in again.extensions["eventbus"].bus.log.types()]
        assert {"bus.rebuild.started", "bus.rebuild.finished"} <= set(types)
    finally:
        again.extensions["eventbus"].stop()


def test_a_rebuild_that_is_overtaken_ends_with_an_exit_code_of_its_own(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    app = app_on(path)
    record(app)
    app.extensions["eventbus"].stop()
    spoil(path)
    monkeypatch.setattr("eventbus.rebuild._FEW", -1)  # it is never near enough
    monkeypatch.setattr("eventbus.rebuild._WINDOW_ROUNDS", 1)
    stopped = app_on(path).test_cli_runner().invoke(args=["rebuild"])
    assert stopped.exit_code == 3
    assert "events come in faster than they are folded" in stopped.output
    assert "nothing was replaced" in stopped.output
    monkeypatch.undo()
    assert app_on(path).test_cli_runner().invoke(args=["rebuild", "--check"]).exit_code == 1


def test_a_running_server_is_rebuilt_over_http(path: Path) -> None:
    app = app_on(path)
    record(app)
    client = app.test_client()
    try:
        assert client.get("/api/rebuild").json == {"rebuild": None}
        spoil(path)
        began = client.post("/api/rebuild", json={"by": "ana"})
        assert began.status_code == 202

        def is_over() -> bool:
            return client.get("/api/rebuild").json["rebuild"]["finished_at"] is not None

        wait_until(is_over, "it is rebuilt")
        found = client.get("/api/rebuild").json["rebuild"]
        assert (found["state"], found["differences"]) == ("done", 1)
        assert found["examples"] == ["evaluations[eval_id='e1']: done is 9, a replay gives 0"]
        assert client.get("/api/evaluations/e1").json["done"] == 0
        bus = app.extensions["eventbus"].bus
        wait_until(
            lambda: any(seen.type == "bus.rebuild.finished" for seen in bus.log.types()),
            "its end is recorded",
        )
    finally:
        app.extensions["eventbus"].stop()


@pytest.mark.parametrize("check", [1, "yes", []])
def test_a_wrong_body_is_refused_with_the_field(path: Path, check: object) -> None:
    app = app_on(path)
    try:
        refused = app.test_client().post("/api/rebuild", json={"check": check})
        assert refused.status_code == 400
        assert refused.json["errors"][0]["pointer"] == "/check"
    finally:
        app.extensions["eventbus"].stop()
