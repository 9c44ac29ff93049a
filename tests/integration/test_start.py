"""The start of the server: what it refuses, in one clear line and with an exit code."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.helpers.server import ROOT, ServerProcess, clean_environment
from tests.helpers.waiting import wait_until


def refusal(directory: Path, **variables: str) -> tuple[int, str]:
    server = ServerProcess(directory, **variables)
    server.launch()
    return server.wait_ended(), server.output()


def test_a_second_process_on_the_same_database_is_refused(server: ServerProcess) -> None:
    code, output = refusal(server.directory.joinpath(), PORT="0")
    said = output.partition("\n")[2]  # after the first server's own line
    assert code == 3
    assert said.startswith("error: Event Bus cannot start: ")
    assert str(server.database) in said.partition("\n")[0]
    assert "Traceback" not in said
    assert server.api.publish("a.b")["sequence"] >= 1


def test_the_database_is_free_again_after_a_kill(server: ServerProcess) -> None:
    first = server.api.publish("a.b")["sequence"]
    server.kill9()
    server.start()
    assert server.api.publish("a.b")["sequence"] > first


def test_more_than_one_worker_is_refused(tmp_path: Path) -> None:
    code, output = refusal(tmp_path, GUNICORN_CMD_ARGS="--workers=2")
    assert code == 3
    assert output.startswith("error: 2 workers were asked for, but one process has the bus")
    assert output.count("\n") == 1


def test_an_added_worker_is_refused_while_it_runs(server: ServerProcess) -> None:
    os.kill(server.pid, signal.SIGTTIN)
    wait_until(lambda: "not changing to 2 workers" in server.output(), "it says so")
    assert server.api.get("/readyz").status == 200


def test_a_reload_hands_the_bus_over_to_a_new_worker(server: ServerProcess) -> None:
    server.api.publish("a.b")
    os.kill(server.pid, signal.SIGHUP)
    wait_until(lambda: server.output().count("is live at") == 2, "the new worker is there")
    server.api.close()
    second = server.api.publish("a.b")
    found = server.api.get("/api/events", order="asc").json["events"]
    types = [event["type"] for event in found]
    assert types == ["a.b", "bus.stopped", "bus.started", "a.b"]
    assert second["sequence"] == found[-1]["sequence"]


def test_all_wrong_variables_are_told_at_once(tmp_path: Path) -> None:
    code, output = refusal(tmp_path, PORT="http", EVENTBUS_MAX_ATTEMPTS="none")
    assert code == 3
    assert "PORT='http' is wrong; allowed: a whole number from 0 to 65535" in output
    assert "EVENTBUS_MAX_ATTEMPTS='none'" in output
    assert "Traceback" not in output


def test_wrong_variables_are_one_json_line_where_the_log_is_json(tmp_path: Path) -> None:
    code, output = refusal(tmp_path, EVENTBUS_LOG_FORMAT="json", PORT="http", EVENTBUS_TRACING="x")
    line = json.loads(output)
    assert (code, line["level"]) == (3, "error")
    assert "PORT='http' is wrong" in line["message"]
    assert "EVENTBUS_TRACING='x' is wrong" in line["message"]
    environment = clean_environment(EVENTBUS_LOG_FORMAT="json", PORT="http")
    other = subprocess.run(  # as another WSGI server has it
        [sys.executable, "-c", "import wsgi"], cwd=ROOT, env=environment, text=True,
        capture_output=True,
    )  # fmt: skip
    assert other.returncode == 1
    said = json.loads(other.stderr)["message"]
    assert said.startswith("Event Bus cannot start:\n  PORT='http' is wrong; allowed: a whole")
    _, output = refusal(tmp_path, EVENTBUS_LOG_FORMAT="xml", PORT="http")
    assert output.splitlines()[1] == "Event Bus cannot start:", "as it is by default"


@pytest.mark.skipif(sys.platform != "linux", reason="for systemd")
def test_systemd_is_told_when_it_is_live_and_not_before() -> None:
    # In a folder of a short name: the path of a socket has 107 bytes at most.
    with (
        tempfile.TemporaryDirectory() as name,
        socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager,
    ):
        directory = Path(name)
        manager.bind(str(directory / "notify"))
        manager.settimeout(10)
        variables = {"NOTIFY_SOCKET": str(directory / "notify")}
        assert refusal(directory, HOST="0.0.0.0", **variables)[0] == 3
        with ServerProcess(directory, **variables) as server:
            told = manager.recv(1000).decode()
            assert told == f"READY=1\nSTATUS=Live at {server.url}/"


def test_other_machines_are_not_let_in_without_a_user_or_token(tmp_path: Path) -> None:
    code, output = refusal(tmp_path, HOST="0.0.0.0")
    assert code == 3
    assert "flask users add NAME --role admin" in output
    assert "EVENTBUS_INSECURE_BIND=yes" in output
    assert "Traceback" not in output


def test_another_address_is_listened_on_when_that_is_accepted(
    start_server: Callable[..., ServerProcess], tmp_path: Path
) -> None:
    server = ServerProcess(tmp_path, HOST="0.0.0.0", EVENTBUS_INSECURE_BIND="yes")
    server.launch()
    try:
        wait_until(lambda: "is live at http://0.0.0.0:" in server.output(), "it listens")
    finally:
        server.stop()


def test_a_taken_port_is_told_without_a_traceback(tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = str(taken.getsockname()[1])
        code, output = refusal(tmp_path, PORT=port)
    assert code == 3
    assert output.startswith(f"error: cannot listen on 127.0.0.1:{port}: Address already in use")
    assert output.count("\n") == 1


@pytest.mark.parametrize("content", [b"this is no database at all" * 100])
def test_a_file_that_is_no_database_is_told(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "events.db").write_bytes(content)
    code, output = refusal(tmp_path)
    assert code == 3
    assert output.startswith("error: Event Bus cannot start: ")
    assert (tmp_path / "events.db").read_bytes() == content


def test_a_directory_that_cannot_be_made_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    url = f"sqlite:///{tmp_path / 'file' / 'events.db'}"
    code, output = refusal(tmp_path, EVENTBUS_DATABASE_URL=url)
    assert code == 3
    assert output.startswith("error: Event Bus cannot start: ")
