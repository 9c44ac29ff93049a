"""The command `eventbus` in a process of its own, against a server of the test's."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import dataclass
from typing import Any

from tests.helpers.server import ROOT, clean_environment

TIMEOUT_S = 60.0


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
    process = start(url, *arguments, **variables)
    out, err = process.communicate(input, timeout=TIMEOUT_S)
    return Ended(process.returncode, out, err)


def line_of(process: subprocess.Popen[str]) -> str:
    """The next line that a running command writes."""
    assert process.stdout is not None
    return process.stdout.readline()


def end(process: subprocess.Popen[str], number: int) -> Ended:
    """Send a signal, and wait for the end."""
    os.kill(process.pid, number)
    out, err = process.communicate(timeout=TIMEOUT_S)
    return Ended(process.returncode, out, err)
