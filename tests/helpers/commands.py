"""The commands `eventbus` and `flask` in processes of their own, beside a server of the test's."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from typing import Any, BinaryIO

from tests.helpers.server import ROOT, clean_environment
from tests.helpers.zygote import zygote

TIMEOUT_S = 180.0


@dataclass(frozen=True, slots=True)
class Ended:
    """How a command has ended, and what it wrote."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        """The output, one JSON value."""
        return json.loads(self.out)

    @property
    def lines(self) -> list[Any]:
        """The output, NDJSON."""
        return [json.loads(line) for line in self.out.splitlines()]


def start(url: str, *arguments: str, **variables: str) -> subprocess.Popen[str]:
    """Begin a command; its input is a pipe."""
    return subprocess.Popen(
        [sys.executable, "-m", "eventbus", *arguments],
        cwd=ROOT, env=clean_environment(EVENTBUS_URL=url, **variables), text=True,
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    )  # fmt: skip


def run(url: str, *arguments: str, input: str = "", **variables: str) -> Ended:
    """Run a command to its end."""
    if any(name.startswith("PYTHON") for name in variables):  # what counts at its very start
        process = start(url, *arguments, **variables)
        out, err = process.communicate(input, timeout=TIMEOUT_S)
        return Ended(process.returncode, out, err)
    return Command("eventbus", *arguments, input=input, EVENTBUS_URL=url, **variables).ended()


def flask(*arguments: object, **variables: str) -> Ended:
    """Run a command of the app to its end."""
    return begin_flask(*arguments, **variables).ended()


def begin_flask(*arguments: object, **variables: str) -> Command:
    """Begin a command of the app; its input is empty."""
    return Command("flask", "--app", "wsgi", *map(str, arguments), **variables)


class Command:
    """A command that was begun."""

    def __init__(self, *arguments: str, input: str = "", **variables: str) -> None:
        self._out = tempfile.TemporaryFile()  # noqa: SIM115 (closed when it has ended)
        self._err = tempfile.TemporaryFile()  # noqa: SIM115
        with tempfile.TemporaryFile() as typed:
            typed.write(input.encode())
            typed.seek(0)
            self._process = zygote().fork(
                arguments, clean_environment(**variables), self._out, self._err, typed
            )

    @property
    def is_running(self) -> bool:
        return self._process.poll() is None

    def send_signal(self, number: int) -> None:
        os.kill(self._process.pid, number)

    def ended(self) -> Ended:
        """Wait for the end."""
        code = self._process.wait(TIMEOUT_S)
        return Ended(code, _all_of(self._out), _all_of(self._err))


def _all_of(file: BinaryIO) -> str:
    with file:
        file.seek(0)
        return file.read().decode()


def line_of(process: subprocess.Popen[str]) -> str:
    """The next line that a running command writes."""
    assert process.stdout is not None
    return process.stdout.readline()


def end(process: subprocess.Popen[str], number: int) -> Ended:
    """Send a signal, and wait for the end."""
    os.kill(process.pid, number)
    out, err = process.communicate(timeout=TIMEOUT_S)
    return Ended(process.returncode, out, err)
