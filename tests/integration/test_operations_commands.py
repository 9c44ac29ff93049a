"""The commands redrive, discard and replay, which speak to the running server."""

from __future__ import annotations

import json
import signal
from collections.abc import Iterator

import pytest

from tests.helpers.commands import Command, begin_flask
from tests.helpers.server import ServerProcess
from tests.helpers.waiting import wait_until


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    server = ServerProcess(
        tmp_path_factory.mktemp("server"), "tests.helpers.trouble:app", EVENTBUS_MAX_ATTEMPTS="1"
    )
    with server:
        yield server


def start(server: ServerProcess, *arguments: str) -> Command:
    server.api.close()  # the server drops a connection that is idle while the command runs
    return begin_flask(
        *arguments, PORT=str(server.port), EVENTBUS_DATABASE_URL=f"sqlite:///{server.database}"
    )


def flask(server: ServerProcess, *arguments: str) -> tuple[int, str, str]:
    done = start(server, *arguments).ended()
    return done.code, done.out, done.err


def die(server: ServerProcess, count: int) -> list[int]:
    """Leaves so many dead letters, and no others; gives their sequences."""
    server.api.close()
    server.api.post("/api/deliveries/discard", {"filter": {}, "reason": "of the test before"})
    wait_until(lambda: server.api.counters()["dead_letters"] == 0, "none is left")
    return [
        server.api.publish("trouble.flaky", {"failures": 1}, subject=f"s{n}")["sequence"]
        for n in range(count)
    ]


def test_redrive_shows_first_and_then_does_it(server: ServerProcess) -> None:
    die(server, 3)
    code, out, _err = flask(server, "redrive", "--subscription", "flaky", "--dry-run")
    assert (code, server.api.counters()["dead_letters"]) == (0, 3)
    assert "3 dead letters selected" in out
    server.api.close()
    code, out, err = flask(server, "redrive", "--type", "trouble.*", "--yes", "--by", "ann")
    assert code == 0, err
    assert "of 3 selected 3 made pending again, 0 skipped" in out
    wait_until(lambda: server.api.counters()["dead_letters"] == 0, "none is dead")
    assert server.api.get("/api/operations").json["operations"][0]["by"] == "ann"


def test_nothing_is_done_without_a_yes(server: ServerProcess) -> None:
    die(server, 1)
    code, _out, err = flask(server, "redrive", "--all")  # its input is empty
    assert (code, server.api.counters()["dead_letters"]) == (1, 1)
    assert "go on?" in err


def test_discard_takes_single_deliveries_and_prints_json(server: ServerProcess) -> None:
    first, second = die(server, 2)
    code, out, err = flask(
        server, "discard", "--delivery", f"{second}@flaky", "--reason", "a test", "--yes", "--json"
    )
    assert code == 0, err
    operation = json.loads(out)
    assert (operation["kind"], operation["state"], operation["done"]) == ("discard", "finished", 1)
    (left,) = server.api.get("/api/deliveries").json["deliveries"]
    assert left["sequence"] == first


def test_wrong_use_is_told_before_anything_is_asked(server: ServerProcess) -> None:
    for arguments, said in [
        (["redrive"], "say which dead letters"),
        (["redrive", "--all", "--type", "a"], "say which dead letters"),
        (["redrive", "--delivery", "x"], "42@my-handler"),
        (["redrive", "--delivery", "1@a", "--type", "a"], "stands alone"),
        (["discard", "--all"], "--reason is needed"),
        (["replay"], "SUBSCRIPTION"),
    ]:
        code, _out, err = flask(server, *arguments)
        assert code == 2, err
        assert said in err


def test_what_the_server_refuses_is_told_in_its_words(server: ServerProcess) -> None:
    code, _out, err = flask(server, "replay", "evaluation", "--yes")
    assert code == 1
    assert "flask rebuild" in err
    code, _out, err = flask(server, "redrive", "--all", "--url", "http://127.0.0.1:9")
    assert code == 3
    assert "no event bus answers at http://127.0.0.1:9" in err


def test_ctrl_c_stops_a_replay(server: ServerProcess) -> None:
    die(server, 2)
    process = start(server, "replay", "flaky", "--rate", "0.01", "--yes")
    newest = "/api/operations?limit=1"
    wait_until(
        lambda: server.api.get(newest).json["operations"][0]["kind"] == "replay", "it runs", 30.0
    )
    process.send_signal(signal.SIGINT)
    done = process.ended()
    server.api.close()
    assert done.code == 130, done.err
    assert "stopped" in done.out
    assert server.api.get(newest).json["operations"][0]["state"] == "stopped"
