"""A disk that is full: publishing fails with a clear answer, and goes on when there is room."""

from __future__ import annotations

import resource
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.helpers.server import ServerProcess

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="needs prlimit(2)")
StartServer = Callable[..., ServerProcess]
UNLIMITED = (resource.RLIM_INFINITY, resource.RLIM_INFINITY)


def worker_of(server: ServerProcess) -> int:
    children = Path(f"/proc/{server.pid}/task/{server.pid}/children").read_text().split()
    (worker,) = (int(child) for child in children)
    return worker


def test_nothing_is_acknowledged_that_is_not_on_the_disk(server: ServerProcess) -> None:
    api, worker = server.api, worker_of(server)
    acknowledged = [api.publish("a.b", {"n": n})["id"] for n in range(5)]
    # No file of the server may grow past this any more, as if the disk had just run full.
    largest = max(file.stat().st_size for file in server.directory.glob("events.db*"))
    resource.prlimit(worker, resource.RLIMIT_FSIZE, (largest + 16_384, resource.RLIM_INFINITY))

    refused = None
    for n in range(200):
        answer = api.post("/api/events", {"type": "a.b", "data": {"n": n, "text": "x" * 4_000}})
        if answer.status != 202:
            refused = answer
            break
        acknowledged.append(answer.json["id"])
    assert refused is not None
    assert refused.status == 503
    assert refused.headers["content-type"] == "application/problem+json"
    assert refused.headers["retry-after"] == "1"
    assert refused.json["title"] == "The event log failed"
    assert api.get("/api/stats").status == 200

    resource.prlimit(worker, resource.RLIMIT_FSIZE, UNLIMITED)
    acknowledged.append(api.publish("a.b", {"after": True})["id"])
    found = api.get("/api/events", type="a.b", limit=1000, order="asc").json["events"]
    assert [event["id"] for event in found] == acknowledged
