"""`flask events …`: the same command, which also reads a database that no server has open."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import Result
from flask import Flask

from app import create_app
from app.config import Settings
from tests.helpers.bus import LONG_S


@pytest.fixture(scope="module")
def closed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Flask]:
    """An app whose database holds events and which does not run; nobody answers at its port."""
    path = tmp_path_factory.mktemp("closed") / "events.db"
    settings = Settings(database_url=f"sqlite:///{path}", port=9)
    running = create_app(settings).extensions["eventbus"]
    running.start()
    running.bus.publish("evaluation.started", {"eval_id": "e1"}, id="first")
    running.bus.publish("evaluation.failed", {"eval_id": "e1", "error": "no room"}, id="second")
    for n in range(1_200):
        running.bus.publish("load.done", {"n": n})
    assert running.bus.drain(LONG_S)
    running.bus.publish("much.later", {}, id="later", delay=3600)
    running.stop()
    yield create_app(settings)


def flask(app: Flask, *arguments: str) -> Result:
    return app.test_cli_runner().invoke(args=list(arguments))


def test_what_reads_is_answered_from_the_closed_database(closed: Flask) -> None:
    for arguments, said in [
        (["stats"], "failed           1"),
        (["search", "evaluation.*", "--text", "room"], "evaluation.failed"),
        (["show", "first"], '"eval_id": "e1"'),
        (["show", "later"], "much.later  scheduled"),
        (["trace", "first"], "by evaluation"),
        (["evaluations"], "retrying"),
        (["evaluations", "e1"], "evaluation.failed"),
        (["alerts"], "no alert is open"),
        (["tail", "evaluation.*", "--no-follow"], "evaluation.started"),
    ]:
        ended = flask(closed, "events", *arguments)
        assert ended.exit_code == 0, (arguments, ended.output)
        assert said in ended.output, (arguments, ended.output)
        assert "no server runs: read from " in ended.output
    ended = flask(closed, "events", "export", "load.*")
    lines = [line for line in ended.stdout.splitlines() if line.startswith("{")]
    assert [json.loads(line)["data"]["n"] for line in lines] == list(range(1_200))
    assert flask(closed, "events", "show", "nothing").exit_code == 4


def test_reading_a_closed_database_starts_nothing_and_leaves_it_closed(closed: Flask) -> None:
    before = flask(closed, "events", "stats", "--json").stdout.splitlines()[-1]
    parts = closed.extensions["eventbus"]
    assert not parts.is_started
    parts_again = create_app(parts.settings).extensions["eventbus"]
    parts_again.start()  # nobody holds the file
    try:
        assert parts_again.bus.log.last_sequence >= json.loads(before)["sequence"]
    finally:
        parts_again.stop()


def test_what_changes_anything_needs_a_server(closed: Flask, tmp_path: Path) -> None:
    for arguments in (
        ["publish", "a.b"],
        ["redrive", "--all"],
        ["top", "--once"],
        ["subscriptions"],
    ):
        ended = flask(closed, "events", *arguments)
        assert ended.exit_code == 3, ended.output
        assert "no event bus answers at http://127.0.0.1:9" in ended.output
    ended = flask(closed, "events", "stats", "--at", "1h")
    assert (ended.exit_code, "told by a running server" in ended.output) == (1, True)
    nothing = Settings(database_url=f"sqlite:///{tmp_path / 'none.db'}", port=9)
    assert flask(create_app(nothing), "events", "stats").exit_code == 3
    assert not (tmp_path / "none.db").exists()


def test_a_named_address_is_never_replaced_by_the_database(closed: Flask) -> None:
    assert flask(closed, "events", "stats", "--url", "http://127.0.0.1:9").exit_code == 3


def test_help_names_the_command_as_it_was_called(closed: Flask) -> None:
    ended = flask(closed, "events", "tail", "--help")
    assert ended.exit_code == 0
    assert "usage: flask events tail" in ended.output and "  flask events tail" in ended.output
    assert flask(closed, "redrive").exit_code == 2
