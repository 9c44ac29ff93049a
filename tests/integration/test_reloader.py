"""The development server: its reloader has two processes, and one bus."""

from __future__ import annotations

import http.client
import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.helpers.api import Api
from tests.helpers.commands import flask
from tests.helpers.server import ROOT, clean_environment
from tests.helpers.waiting import wait_until

_PORT = re.compile(rb"Running on http://127\.0\.0\.1:(\d+)")
_STARTS = re.compile(rb"Restarting with|Debugger is active")


class DevelopmentServer:
    """`flask run --debug` on a free port, which reloads when ``watched`` is touched."""

    def __init__(self, directory: Path) -> None:
        self.watched = directory / "watched.txt"
        self.watched.write_text("1")
        self._log = directory / "flask.log"
        self.variables = {"EVENTBUS_DATABASE_URL": f"sqlite:///{directory / 'events.db'}"}
        command = [
            sys.executable, "-m", "flask", "--app", "wsgi", "--debug", "run",
            "--port", "0", "--extra-files", str(self.watched),
        ]  # fmt: skip
        with self._log.open("wb") as log:
            self.process = subprocess.Popen(
                command,
                cwd=ROOT,
                env=clean_environment(**self.variables),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        found = wait_until(lambda: _PORT.findall(self.output()), "it says its port", 30.0)
        self.port = int(found[-1])

    def output(self) -> bytes:
        return self._log.read_bytes()

    def close(self) -> None:
        os.killpg(self.process.pid, signal.SIGTERM)
        self.process.wait(timeout=10)


@pytest.fixture
def development(tmp_path: Path) -> Iterator[DevelopmentServer]:
    server = DevelopmentServer(tmp_path)
    yield server
    server.close()


def publish(server: DevelopmentServer) -> int:
    def attempt() -> int:
        api = Api(server.port)
        try:
            return int(api.publish("a.b")["sequence"])
        except (OSError, http.client.HTTPException):
            return 0  # between the two processes nobody listens
        finally:
            api.close()

    return wait_until(attempt, "the development server takes an event", 20.0)


def test_only_the_serving_process_has_the_bus_also_after_a_reload(
    development: DevelopmentServer,
) -> None:
    assert publish(development) == 1
    assert b"another process" not in development.output().lower()

    before = len(_PORT.findall(development.output()))
    development.watched.write_text("2")
    wait_until(lambda: len(_STARTS.findall(development.output())) > before + 1, "it reloads", 20.0)
    assert publish(development) > 1  # it goes on where the process before it has ended
    assert b"Traceback" not in development.output()


def test_commands_start_no_bus_beside_it(development: DevelopmentServer) -> None:
    publish(development)
    done = flask("routes", **development.variables)
    assert done.code == 0, done.err
    assert "/api/events" in done.out
    assert publish(development) > 1  # it goes on where the process before it has ended
