"""A log in PostgreSQL that a test's processes share, and starting them."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from tests.helpers.databases import fresh_url

ROOT = Path(__file__).resolve().parents[2]


class Member:
    """A process of ``tests.shared.member``."""

    def __init__(self, url: str, folder: Path, name: str, within: Sequence[str] = ()) -> None:
        """``within`` is a command that runs another, such as one in another network."""
        self.name = name
        self._process = subprocess.Popen(
            [*within, sys.executable, "-m", "tests.shared.member", url, str(folder), name],
            cwd=ROOT, text=True, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
        )  # fmt: skip
        assert self.heard() == "ready", f"{name} did not come up"

    @property
    def pid(self) -> int:
        return self._process.pid

    def tell(self, command: str) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write(command + "\n")
        self._process.stdin.flush()

    def heard(self) -> Any:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        assert line, f"{self.name} ended"
        return json.loads(line)

    def ask(self, command: str) -> Any:
        """What it answers."""
        self.tell(command)
        return self.heard()

    def kill9(self) -> list[int]:
        """End it as a crash does; what it had said and nobody has heard."""
        self._process.kill()
        assert self._process.stdout is not None
        rest = [line for line in self._process.stdout.read().split("\n")[:-1] if line]
        self._process.wait()
        return [json.loads(line) for line in rest]

    def is_dead(self) -> bool:
        return self._process.poll() is not None

    def __enter__(self) -> Member:
        return self

    def __exit__(self, *raised: object) -> None:
        if self._process.poll() is None:
            self._process.kill()
            self._process.wait()
        for pipe in (self._process.stdin, self._process.stdout):
            assert pipe is not None
            pipe.close()


@pytest.fixture
def shared_url(tmp_path: Path) -> Iterator[str]:
    """The URL of an empty log in PostgreSQL; skips the test when it does not run."""
    with fresh_url("postgresql") as url:
        yield url


@pytest.fixture
def member(shared_url: str, tmp_path: Path) -> Iterator[Callable[[str], Member]]:
    """Starts processes that share the log, by names."""
    with ExitStack() as members:
        yield lambda name: members.enter_context(Member(shared_url, tmp_path, name))
