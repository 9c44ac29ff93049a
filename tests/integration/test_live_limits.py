"""Who may open a WebSocket, how many, with which input, and how it ends."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

import pytest

from tests.helpers.follower import Follower
from tests.helpers.raw_websocket import RawWebSocket, handshake
from tests.helpers.server import ServerProcess
from tests.helpers.waiting import wait_until, within

PATHS = ("/live", "/api/stream")


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize(
    ("query", "names"),
    [
        ("after=-1", "-1"),
        ("after=abc", "abc"),
        ("after=", "after"),
        ("after=1.5", "1.5"),
        ("after=999999", "999999"),
        ("after=99999999999999999999", "9999"),
        ("after=%D9%A3", "after"),
        ("type=ev*", "ev*"),
        ("type=a..b", "a..b"),
        ("type=" + "a" * 300, "255"),
        ("type=%00", "type"),
        ("type=%3Cscript%3E", "type"),
    ],
)
def test_a_wrong_parameter_is_refused_before_the_handshake(
    shared_server: ServerProcess, path: str, query: str, names: str
) -> None:
    answer, _ = handshake(shared_server.port, f"{path}?{query}")
    assert answer.status == 400
    assert answer.headers["content-type"] == "application/problem+json"
    assert names in answer.json["detail"]
    assert answer.json["errors"][0]["pointer"] == f"/{query.partition('=')[0]}"


@pytest.mark.parametrize(
    "query", ["after=-1", "after=x", "upto=-1", "upto=999999", "after=1&upto=0", "type=a..b"]
)
def test_wrong_parameters_of_rows_are_refused(shared_server: ServerProcess, query: str) -> None:
    shared_server.api.publish("a.b")
    answer = shared_server.api.get(f"/live/rows?{query}")
    assert answer.status == 400
    assert answer.headers["content-type"] == "application/problem+json"


@pytest.mark.parametrize("path", PATHS)
def test_pages_of_another_origin_are_refused(shared_server: ServerProcess, path: str) -> None:
    port = shared_server.port
    for origin in ("https://evil.example", f"http://127.0.0.1:{port + 1}", "null"):
        answer, _ = handshake(port, path, {"Origin": origin})
        assert answer.status == 403, origin
    answer, sock = handshake(port, path, {"Origin": f"http://127.0.0.1:{port}"})
    assert answer.status == 101
    sock.close()


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"Sec-WebSocket-Key": ""}, 400),
        ({"Sec-WebSocket-Version": "12"}, 400),
        ({"Connection": "close"}, 426),  # which asks for no WebSocket at all
    ],
)
def test_a_broken_handshake_is_refused(
    shared_server: ServerProcess, path: str, headers: dict[str, str], status: int
) -> None:
    answer, _ = handshake(shared_server.port, path, headers)
    assert answer.status == status
    assert answer.headers["content-type"] == "application/problem+json"


@pytest.mark.parametrize("path", PATHS)
def test_a_plain_request_is_told_that_this_is_a_websocket(
    shared_server: ServerProcess, path: str
) -> None:
    assert shared_server.api.get(path).status == 426


def test_beyond_the_allowed_number_the_answer_is_503_until_one_leaves(
    start_server: Callable[..., ServerProcess],
) -> None:
    server = start_server(EVENTBUS_MAX_SOCKETS="3")
    open_ones = [RawWebSocket(server.port, path) for path in ("/live", "/api/stream", "/live")]
    for path in PATHS:
        answer, _ = handshake(server.port, path)
        assert answer.status == 503
        assert int(answer.headers["retry-after"]) > 0
        assert "3" in answer.json["detail"]
    for _ in range(5):  # a refused or broken handshake must not use up room for good
        handshake(server.port, "/live", {"Sec-WebSocket-Key": ""})
    assert server.api.publish("a.b")["sequence"] == 1
    open_ones[0].drop()

    def comes_in() -> bool:
        answer, sock = handshake(server.port, "/api/stream")
        sock.close()
        return answer.status == 101

    wait_until(comes_in, "the room of the one that left is free")


def test_broken_handshakes_do_not_use_up_room(start_server: Callable[..., ServerProcess]) -> None:
    server = start_server(EVENTBUS_MAX_SOCKETS="2")
    for _ in range(10):
        assert handshake(server.port, "/live", {"Sec-WebSocket-Key": ""})[0].status == 400
    with RawWebSocket(server.port, "/live") as one, RawWebSocket(server.port, "/live") as two:
        assert one.receive()["kind"] == two.receive()["kind"] == "hello"


def test_a_peer_that_answers_no_ping_is_taken_for_dead_and_others_are_not(
    start_server: Callable[..., ServerProcess],
) -> None:
    server = start_server(EVENTBUS_MAX_SOCKETS="2", EVENTBUS_PING_EVERY_S="1")
    silent = RawWebSocket(server.port, "/api/stream")  # never reads, so never answers
    is_free = threading.Event()
    with RawWebSocket(server.port, "/api/stream") as alive:

        def read() -> None:
            while not is_free.is_set():
                alive.receive(0.1)

        reader = threading.Thread(target=read)
        reader.start()
        try:
            wait_until(
                lambda: handshake(server.port, "/api/stream")[0].status == 101,
                "the room of the silent one is free",
            )
        finally:
            is_free.set()
            reader.join()
        assert alive.close_code is None
    silent.drop()


def test_what_clients_say_is_ignored_and_bounded(server: ServerProcess) -> None:
    with RawWebSocket(server.port, "/api/stream") as ws:
        assert ws.receive()["events"] == []
        for _ in range(2000):
            ws.send("what?")
        ws.send(b"\x00\xff")
        server.api.publish("a.b")
        assert ws.receive()["events"][0]["type"] == "a.b"
        ws.send("x" * 100_000)
        while ws.receive() is not None:
            pass
        assert ws.close_code == 1009  # message too big
    server.api.publish("still.there")


def test_a_stop_tells_everybody_and_is_not_held_up_by_a_stuck_client(
    server: ServerProcess,
) -> None:
    stuck = RawWebSocket(server.port, "/api/stream", receive_buffer=16 * 1024)
    others = [RawWebSocket(server.port, path) for path in PATHS * 10]
    readers = [Follower(ws) for ws in others]
    for _ in range(40):
        server.api.post("/api/events", [{"type": "a.b", "data": {"x": "y" * 5000}}] * 50)
    for reader in readers:  # else what they are told at the end comes behind all that
        reader.wait_for(2000)
    started = time.monotonic()
    server.stop()
    assert time.monotonic() - started < within(3)
    for reader in readers:
        reader.join(timeout=20)
    assert [ws.close_code for ws in others] == [1012] * len(others)
    stuck.drop()
    assert "Traceback" not in server.output()


@pytest.mark.parametrize("path", PATHS)
def test_a_system_without_threads_refuses_before_the_handshake_and_gives_the_place_back(
    start_server: Callable[..., ServerProcess], path: str
) -> None:
    server = start_server("tests.helpers.no_threads:app", EVENTBUS_MAX_SOCKETS="1")
    for _ in range(3):
        answer, _ = handshake(server.port, path)
        assert answer.status == 503
        assert answer.json["title"] == "No thread"
        assert "ulimit -u" in answer.json["detail"]
    server.api.publish("a.b")
    server.websocket(path).close()
