"""A rebuild among processes of the app on one log: one at a time, told and stopped by any."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from eventbus import EventBus
from tests.helpers.databases import schemas
from tests.helpers.server import ServerProcess
from tests.helpers.waiting import wait_until

SOON_S = 60.0


@pytest.fixture
def servers(tmp_path: Path) -> Iterator[tuple[ServerProcess, ServerProcess]]:
    """Two whose rebuilds last until they are stopped."""
    with schemas().lent() as url, ExitStack() as running:
        with EventBus.open(url) as bus:
            bus.publish("first.thing")
        made = []
        for name in ("one", "two"):
            (tmp_path / name).mkdir()
            server = ServerProcess(
                tmp_path / name, "tests.helpers.endless:app", EVENTBUS_DATABASE_URL=url,
                EVENTBUS_FILES=str(tmp_path / "files"),
            )  # fmt: skip
            made.append(running.enter_context(server))
        yield made[0], made[1]


def known(server: ServerProcess) -> dict[str, Any]:
    found: dict[str, Any] | None = server.new_api().get("/api/rebuild").json["rebuild"]
    return found or {"state": "none", "finished_at": None, "error": None}


def test_one_process_rebuilds_at_a_time_and_any_tells_of_it_and_stops_it(
    servers: tuple[ServerProcess, ServerProcess],
) -> None:
    one, other = servers
    began = one.api.post("/api/rebuild", {"check": True})
    assert began.status == 202, began.text
    assert other.api.post("/api/rebuild", {"check": True}).status == 409
    wait_until(
        lambda: known(other).get("started_at") == began.json["rebuild"]["started_at"],
        "the other knows of it", SOON_S,
    )  # fmt: skip
    assert other.api.post("/api/rebuild/stop", {"by": "ann"}).status in (200, 202)
    for server in servers:
        wait_until(lambda s=server: known(s)["state"] == "stopped", "both know the end", SOON_S)
    wait_until(
        lambda: other.api.post("/api/rebuild", {"check": True}).status == 202, "now it may", SOON_S
    )
    wait_until(lambda: known(one)["state"] == "folding", "the one knows of it", SOON_S)
    other.kill9()
    wait_until(lambda: known(one)["state"] == "failed", "its end is noticed", SOON_S)
    assert known(one)["error"] == "the process that ran it has ended"
    wait_until(lambda: one.api.post("/api/rebuild", {"check": True}).status == 202, "free", SOON_S)
