"""The end of the server: within three seconds whatever is open or hangs, and nothing is lost."""

from __future__ import annotations

import http.client
import os
import signal
import socket
import subprocess
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest
from simple_websocket import ConnectionClosed

import handlers
from eventbus.log import EventLog
from tests.helpers.ports import free_port
from tests.helpers.server import ROOT, ServerProcess, clean_environment
from tests.helpers.waiting import wait_until, within

LIMIT_S = 3.0
TROUBLE = "tests.helpers.trouble:app"

StartServer = Callable[..., ServerProcess]


@contextmanager
def open_sockets(server: ServerProcess, count: int) -> Iterator[list[ConnectionClosed]]:
    """WebSockets that are read by threads, as browsers do; gives how each of them was closed."""
    ends: list[ConnectionClosed] = []

    def read(path: str) -> None:
        client = server.websocket(path)
        connected.release()
        try:
            while True:
                client.receive()
        except ConnectionClosed as end:
            ends.append(end)

    connected = threading.Semaphore(0)
    paths = ("/live?type=%23", "/api/stream?type=evaluation.*")
    readers = [threading.Thread(target=read, args=(paths[n % 2],)) for n in range(count)]
    for reader in readers:
        reader.start()
    for _ in readers:
        assert connected.acquire(timeout=10.0)
    yield ends
    for reader in readers:
        reader.join(timeout=5.0)


def stop_by_term(server: ServerProcess) -> float:
    return server.stop(signal.SIGTERM)


def stop_by_int(server: ServerProcess) -> float:
    return server.stop(signal.SIGINT)


def stop_by_ctrl_c(server: ServerProcess) -> float:
    return server.interrupt()


STOPS = pytest.mark.parametrize("stop", [stop_by_term, stop_by_int, stop_by_ctrl_c])


@STOPS
def test_it_stops_in_time_with_open_websockets_and_tells_them(
    start_server: StartServer, stop: Callable[[ServerProcess], float]
) -> None:
    server = start_server()
    with open_sockets(server, 30) as ends:
        server.api.publish("evaluation.started", {"eval_id": "e"})
        assert stop(server) < within(LIMIT_S)
    assert [end.reason for end in ends] == [1012] * 30  # service restart: they will come again
    assert server.wait_ended() == 0
    assert "Traceback" not in server.output()


@STOPS
@pytest.mark.parametrize("kind", ["hang", "freeze", "sleep"])
def test_it_stops_in_time_while_a_handler_hangs(
    start_server: StartServer, stop: Callable[[ServerProcess], float], kind: str
) -> None:
    server = start_server(TROUBLE)
    server.api.post("/api/events", {"type": f"trouble.{kind}"})
    with open_sockets(server, 3):
        assert stop(server) < within(LIMIT_S)


def test_it_stops_in_time_with_idle_half_sent_and_waiting_requests(
    start_server: StartServer,
) -> None:
    server = start_server(TROUBLE)
    head = b"POST /api/events HTTP/1.1\r\nHost: localhost\r\n"
    with ExitStack() as connections:
        for sent in (b"", b"GET /heal", head, head + b"Content-Length: 99\r\n\r\n{"):
            connection = socket.create_connection(("127.0.0.1", server.port), timeout=5.0)
            connections.enter_context(connection)
            connection.sendall(sent)
        server.api.get("/healthz")  # stays open, kept alive

        told: list[dict[str, object]] = []

        def wait_for_what_never_ends() -> None:
            path = "/api/events?wait=handled&timeout=30"
            try:
                answer = server.new_api().post(path, {"type": "trouble.hang", "id": "waiting"})
            except (OSError, http.client.HTTPException):
                return  # cut off by the end of the server
            told.append(answer.json)

        waiting = threading.Thread(target=wait_for_what_never_ends)
        waiting.start()
        api = server.new_api()
        wait_until(lambda: api.get("/api/events/waiting").status == 200, "the request waits")
        assert server.stop() < within(LIMIT_S)
        waiting.join(timeout=5.0)
        assert not waiting.is_alive()
    # Its event is on the disk, so that is what the answer says, if one could be sent.
    assert [answer["handled"] for answer in told] in ([False], [])


def test_what_was_acknowledged_before_the_end_is_there_after_it(start_server: StartServer) -> None:
    server = start_server()
    acknowledged: list[str] = []
    stopping = threading.Event()

    def publish(thread: int) -> None:
        api = server.new_api()
        for n in range(100_000):
            name = f"{thread}-{n}"
            event = {"type": "evaluation.started", "id": name, "data": {"eval_id": name}}
            try:
                answer = api.post("/api/events", event)
            except (OSError, http.client.HTTPException):
                return
            if answer.status != 202:
                assert answer.status == 503, answer.text
                return
            acknowledged.append(name)
            if len(acknowledged) > 200:
                stopping.set()

    threads = [threading.Thread(target=publish, args=(n,)) for n in range(4)]
    for thread in threads:
        thread.start()
    assert stopping.wait(60.0)
    assert server.stop() < within(LIMIT_S)
    for thread in threads:
        thread.join(timeout=5.0)

    server.start()
    for name in acknowledged:
        assert server.api.get(f"/api/events/{name}").status == 200, f"{name} is lost"
    wait_until(lambda: all(s["lag"] == 0 for s in subscriptions(server)), "all are handled")
    counters = server.api.counters()
    assert counters["active"] >= len(acknowledged)
    server.stop()
    log = EventLog(f"sqlite:///{server.database}")
    try:
        assert log.owes_check is False
        assert counters == handlers.replay(log)  # each effect happened, and once
    finally:
        log.close()


def subscriptions(server: ServerProcess) -> list[dict[str, object]]:
    found: list[dict[str, object]] = server.api.get("/api/subscriptions").json["subscriptions"]
    return found


def test_a_delivery_that_the_end_cut_off_is_tried_again_at_the_next_start(
    start_server: StartServer,
) -> None:
    server = start_server(TROUBLE)
    server.api.post("/api/events", {"type": "trouble.sleep", "id": "cut-off"})
    path = "/api/events/cut-off/deliveries"
    wait_until(
        lambda: server.api.get(path).json["deliveries"][0]["state"] in ("running", "pending"),
        "the handler runs",
    )
    assert server.stop() < within(LIMIT_S)
    server.start()
    (delivery,) = server.api.get(path).json["deliveries"]
    assert delivery["state"] in ("pending", "running", "retrying")


def test_make_run_starts_at_the_port_it_is_told_and_stops_in_time(tmp_path: Path) -> None:
    port = free_port()
    environment = clean_environment(
        PORT=str(port), EVENTBUS_DATABASE_URL=f"sqlite:///{tmp_path / 'events.db'}"
    )
    make = subprocess.Popen(
        ["make", "run"],
        cwd=ROOT,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        start_new_session=True,
    )
    assert make.stdout is not None
    try:
        line = wait_until(make.stdout.readline, "it prints where it is")
        while b"is live at" not in line:
            line = wait_until(make.stdout.readline, "it prints where it is")
        assert f"http://127.0.0.1:{port}/".encode() in line
        os.kill(make.pid, signal.SIGTERM)  # to make alone, as a supervisor does
        make.wait(timeout=within(LIMIT_S))
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection(("127.0.0.1", port), timeout=1.0)
    finally:
        if make.poll() is None:
            os.killpg(make.pid, signal.SIGKILL)
        make.stdout.close()
        make.wait()
