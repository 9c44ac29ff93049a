"""deploy/nginx.conf before a real server: TLS, WebSockets, uploads, slow clients, who is who."""

from __future__ import annotations

import http.client
import json
import ssl
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from simple_websocket import ConnectionError

from tests.helpers.nginx import IS_THERE, NAME, Nginx
from tests.helpers.server import ServerProcess
from tests.helpers.waiting import wait_until, within
from tests.helpers.websocket import WebSocket

pytestmark = pytest.mark.skipif(not IS_THERE, reason="needs nginx and openssl")

CLIENT = "127.0.0.5"
JSON = {"Content_Type": "application/json"}


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    folder = tmp_path_factory.mktemp("server")
    with ServerProcess(
        folder, EVENTBUS_ALLOWED_HOSTS=f"{NAME},127.0.0.1", EVENTBUS_TRUSTED_PROXIES="127.0.0.1",
        EVENTBUS_PUBLIC_URL=f"https://{NAME}", EVENTBUS_LOG_FORMAT="json",
        EVENTBUS_LOG_REQUESTS="yes", EVENTBUS_REQUEST_THREADS="4",
    ) as server:  # fmt: skip
        yield server


@pytest.fixture(scope="module")
def nginx(server: ServerProcess, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Nginx]:
    folder: Path = tmp_path_factory.mktemp("nginx")
    with Nginx(folder, server.port) as nginx:
        yield nginx


def ask(
    nginx: Nginx, method: str, path: str, body: bytes | None = None, **headers: str
) -> http.client.HTTPResponse:
    """One request over TLS from the address CLIENT."""
    connection = http.client.HTTPConnection(NAME)
    connection.sock = nginx.connect(CLIENT)
    connection.request(method, path, body, {name.replace("_", "-"): value
                                            for name, value in headers.items()})  # fmt: skip
    answer = connection.getresponse()
    answer.content = answer.read()  # type: ignore[attr-defined]
    return answer


def request_lines(server: ServerProcess) -> list[dict[str, Any]]:
    lines = [json.loads(line) for line in server.output().splitlines()]
    return [line for line in lines if line["logger"] == "eventbus.requests"]


def test_plain_http_is_sent_to_https(nginx: Nginx) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", nginx.plain_port)
    connection.request("GET", "/events?type=a", headers={"Host": NAME})
    answer = connection.getresponse()
    assert answer.status == 301
    assert answer.headers["Location"] == f"https://{NAME}/events?type=a"


def test_the_server_knows_the_client_whatever_the_client_says_of_itself(
    nginx: Nginx, server: ServerProcess
) -> None:
    answer = ask(
        nginx, "POST", "/api/events", b'{"type": "a.b"}', Content_Type="application/json",
        X_Forwarded_For="10.9.9.9", X_Forwarded_Proto="http", Origin=f"https://{NAME}",
    )  # fmt: skip
    assert answer.status == 202
    assert "max-age" in answer.headers["Strict-Transport-Security"]
    wait_until(lambda: [r for r in request_lines(server) if r["status"] == 202], "it is logged")
    (line,) = [r for r in request_lines(server) if r["status"] == 202]
    assert line["client"] == CLIENT


def test_a_page_of_another_site_may_not_post(nginx: Nginx) -> None:
    answer = ask(nginx, "POST", "/api/events", b'{"type": "a.b"}', Origin="https://evil.example",
                 Content_Type="application/json")  # fmt: skip
    assert answer.status == 403


def test_a_page_may_post_also_where_the_port_is_not_the_usual_one(nginx: Nginx) -> None:
    own = f"{NAME}:{nginx.tls_port}"
    for origin, status in ((f"https://{own}", 202), (f"https://{NAME}:1", 403)):
        answer = ask(
            nginx, "POST", "/api/events", b'{"type": "a.b"}', Host=own, Origin=origin, **JSON
        )
        assert answer.status == status, origin


def websocket(nginx: Nginx, path: str, **headers: str) -> WebSocket:
    # By the address, so that no name has to be resolved; TLS and the Host header have the name.
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return WebSocket(
        f"wss://127.0.0.1:{nginx.tls_port}{path}", ssl_context=context, headers=headers or None
    )


def test_a_websocket_passes_with_its_frames_as_they_come(
    nginx: Nginx, server: ServerProcess
) -> None:
    socket = websocket(nginx, "/api/stream?type=web.socket")
    assert socket.receive(5) is not None  # where the stream begins
    server.api.publish("web.socket", {"number": 1})
    began = time.monotonic()
    events: list[Any] = []
    while not events:
        frame = socket.receive(5)
        assert frame is not None
        events = json.loads(frame)["events"]
    assert events[0]["data"] == {"number": 1}
    assert time.monotonic() - began < within(2.0)
    socket.close()


def test_a_websocket_of_another_site_is_refused(nginx: Nginx) -> None:
    with pytest.raises((ConnectionError, OSError)):
        websocket(nginx, "/api/stream", Origin="https://evil.example").receive(5)


def test_a_large_upload_passes_and_a_larger_one_is_refused(nginx: Nginx) -> None:
    text = "x" * 200_000
    batch = json.dumps([{"type": "a.b", "data": {"text": text}} for _ in range(35)]).encode()
    assert len(batch) > 7_000_000
    assert ask(nginx, "POST", "/api/events", batch, **JSON).status == 202
    too_much = batch + b" " * 3_000_000
    answer = ask(nginx, "POST", "/api/events", too_much, **JSON)
    assert answer.status == 413  # by the server, in its own words
    assert answer.headers["Content-Type"] == "application/problem+json"


def test_clients_that_send_slowly_hold_no_thread_of_the_server(
    nginx: Nginx, server: ServerProcess
) -> None:
    head = (
        f"POST /api/events HTTP/1.1\r\nHost: {NAME}\r\nContent-Type: application/json\r\n"
        "Content-Length: 15\r\n\r\n"
    ).encode()
    with ExitStack() as stack:
        slow = [stack.enter_context(nginx.connect()) for _ in range(12)]
        for connection in slow:
            connection.sendall(head + b'{"type"')
        began = time.monotonic()
        assert ask(nginx, "GET", "/api/stats").status == 200
        assert time.monotonic() - began < within(2.0)
        slow[0].sendall(b': "a.b"}')
        assert slow[0].recv(65_536).startswith(b"HTTP/1.1 202")


def test_metrics_are_not_for_the_world(nginx: Nginx, server: ServerProcess) -> None:
    assert ask(nginx, "GET", "/metrics").status == 403
    assert server.api.get("/metrics").status == 200
