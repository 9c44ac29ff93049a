"""Closing the hub, inside this process and on the development server: it is quick and complete."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from werkzeug.serving import make_server

from app import create_app
from app.config import Settings
from app.runtime import Runtime
from tests.helpers.follower import Follower
from tests.helpers.raw_websocket import RawWebSocket, handshake
from tests.helpers.waiting import wait_until, within


@contextmanager
def running(directory: Path) -> Iterator[tuple[int, Runtime]]:
    """The app on werkzeug's threaded server; gives its port and its parts."""
    app = create_app(Settings(database_url=f"sqlite:///{directory / 'events.db'}"))
    parts: Runtime = app.extensions["eventbus"]
    parts.start()
    server = make_server("127.0.0.1", 0, app, threaded=True)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield server.port, parts
    finally:
        parts.stop()
        server.shutdown()
        thread.join()
        server.server_close()


def live_threads() -> list[str]:
    return [
        thread.name
        for thread in threading.enumerate()
        if thread.name.startswith(("eventbus-hub", "eventbus-panels"))
        or "process_request_thread" in thread.name
        or "simple_websocket" in thread.name
    ]


def test_it_ends_within_a_second_whatever_the_clients_do(tmp_path: Path) -> None:
    with running(tmp_path) as (port, parts):
        reading = [RawWebSocket(port, path) for path in ("/live", "/api/stream") * 10]
        readers = [Follower(ws) for ws in reading]
        stuck = [RawWebSocket(port, "/api/stream", receive_buffer=16 * 1024) for _ in range(5)]
        for n in range(40):
            parts.bus.publish_many(
                [{"type": "a.b", "data": {"n": n, "text": "x" * 5000}}] * 50
            ).wait(10)
        for reader in readers:
            reader.wait_for(2000)
        started = time.monotonic()
        parts.hub.close()
        assert time.monotonic() - started < within(1.0)
        for reader in readers:
            reader.join(timeout=20)
        assert [ws.close_code for ws in reading] == [1012] * len(reading)
        wait_until(lambda: not live_threads(), "no thread is left")
        for ws in stuck:
            ws.drop()


def test_nobody_comes_in_after_it(tmp_path: Path) -> None:
    with running(tmp_path) as (port, parts):
        parts.hub.close()
        parts.hub.close()  # a second time does nothing
        answer, _ = handshake(port, "/live")
        assert answer.status == 503
        assert "retry-after" in answer.headers


def test_the_hub_sleeps_when_nothing_happens(tmp_path: Path) -> None:
    with running(tmp_path) as (port, parts), RawWebSocket(port, "/api/stream") as ws:
        assert ws.receive()["events"] == []
        parts.bus.publish("a.b").wait(5)
        assert ws.receive()["events"]
        used = parts.hub.cpu_s()
        assert ws.receive(timeout_s=2.0) is None
        assert parts.hub.cpu_s() - used < 0.02


@pytest.mark.parametrize("path", ["/live", "/api/stream"])
def test_a_client_that_left_leaves_no_thread(tmp_path: Path, path: str) -> None:
    with running(tmp_path) as (port, parts):
        for _ in range(5):
            with RawWebSocket(port, path) as ws:
                ws.receive()
        wait_until(
            lambda: not any("simple_websocket" in name for name in live_threads()),
            "the threads of those that left are gone",
        )
        parts.bus.publish("a.b").wait(5)  # and the hub writes to nobody
