"""``gunicorn -w 2`` on a log in PostgreSQL: one address, two processes behind it."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from app.access.door import doors, find_door
from eventbus.log.address import files_stem
from tests.helpers.api import Answer
from tests.helpers.databases import schemas
from tests.helpers.people import add_first
from tests.helpers.server import ServerProcess
from tests.helpers.stream_reader import StreamReader
from tests.helpers.waiting import wait_until


@pytest.fixture
def files(tmp_path: Path) -> Path:
    return tmp_path / "files"


@pytest.fixture
def url() -> Iterator[str]:
    with schemas().lent() as url:
        yield url


@pytest.fixture
def server(tmp_path: Path, files: Path, url: str) -> Iterator[ServerProcess]:
    with ServerProcess(
        tmp_path, GUNICORN_CMD_ARGS="-w 2", EVENTBUS_DATABASE_URL=url, EVENTBUS_FILES=str(files)
    ) as server:
        yield server


def get(server: ServerProcess, path: str, secret: str = "") -> Answer:
    """On a connection of its own, which either of them may accept."""
    api = server.new_api()
    headers = {"Authorization": f"Bearer {secret}"} if secret else {}
    try:
        return api.request("GET", path, headers=headers)
    finally:
        api.close()


def processes(server: ServerProcess) -> dict[int, dict[str, Any]]:
    """Those that answer, by their ids."""
    found: dict[int, dict[str, Any]] = {}

    def both() -> bool:
        one = get(server, "/readyz").json["process"]
        found[one["pid"]] = one
        return len(found) == 2

    wait_until(both, "two processes answer", 20)
    return found


def test_two_workers_are_one_server_also_after_one_was_killed(
    server: ServerProcess, files: Path, url: str
) -> None:
    known = processes(server)
    assert sorted(each["number"] for each in known.values()) == [1, 2]
    streams = [StreamReader(server) for _ in range(4)]
    for stream in streams:
        stream.connect()
    for number in range(30):
        body = {"type": "queue.task.added", "data": {"task_id": f"t{number}"}}
        assert server.new_api().post("/api/events", body).status == 202
    for stream in streams:
        stream.read_to(30)
        assert stream.sequences == list(range(1, 31))

    wait_until(lambda: any(each["works"] for each in processes(server).values()), "one works")
    (works,) = [pid for pid, each in processes(server).items() if each["works"]]
    os.kill(works, signal.SIGKILL)
    wait_until(lambda: any(each["works"] for each in processes(server).values()), "another works")
    wait_until(lambda: server.new_api().counters()["queue_depth"] == 30, "each is counted once")

    stem = files_stem(url, files)
    wait_until(lambda: len(doors(stem)) == 2, "each has opened its door")
    add_first(server)
    for secret in [door.secret for door in doors(stem) for _ in range(4)]:
        wait_until(
            lambda: get(server, "/api/access/users", secret).status == 200,  # noqa: B023
            "the command line of this machine is let in by both",
        )  # fmt: skip
    door = find_door(stem)
    assert door is not None
    assert get(server, "/api/access/users", door.secret + "x").status == 401
