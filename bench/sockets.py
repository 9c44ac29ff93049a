"""Many WebSockets at once: how long from a publish to its frame, and what the hub's thread costs.

    python -m bench.sockets --sockets 500 --rate 1000 --seconds 10 --kind page

One process has the server, as it is run; this one publishes batches over HTTP and reads every
socket. Every latency is counted from before the request was sent, for each client and event.
"""

from __future__ import annotations

import argparse
import base64
import bisect
import http.client
import json
import os
import re
import selectors
import socket
import tempfile
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from bench.machine import described_in_one_line
from bench.options import Options
from bench.report import Figure, Sample
from bench.server import ours

_PATHS = {"page": "/live", "json": "/api/stream"}
_BATCHES_PER_S = 50
_LAST_FRAMES_S = 3.0
_SEQUENCE = re.compile(rb'"sequence":(\d+)')
_MEASURED = """
from wsgi import app
from app.runtime import runtime

@app.get("/bench/hub")
def hub():
    return {"cpu_s": runtime().hub.cpu_s()}
"""


@dataclass(slots=True)
class Result:
    """Milliseconds from publish to frame, the hub's share of a core, and whether all came."""

    p50_ms: float
    p99_ms: float
    hub_share: float
    published: int
    rate: float
    missing: int


@dataclass(slots=True)
class _Client:
    """One socket: just enough of RFC 6455 to find the ends of frames and their positions."""

    sock: socket.socket
    rest: bytearray = field(default_factory=bytearray)
    arrivals: list[tuple[float, int]] = field(default_factory=list)

    def take(self, data: bytes, now: float) -> None:
        rest = self.rest
        rest += data
        start = 0
        while len(rest) - start >= 2:
            size, head = rest[start + 1], 2
            if size == 126:
                size, head = int.from_bytes(rest[start + 2 : start + 4]), 4
            elif size == 127:
                size, head = int.from_bytes(rest[start + 2 : start + 10]), 10
            end = start + head + size
            if len(rest) < end:
                break
            # Near the beginning of a page's messages, at the end of a stream's.
            found = _SEQUENCE.search(rest, start, min(end, start + 100)) or _SEQUENCE.search(
                rest, max(start, end - 40), end
            )
            if found:
                self.arrivals.append((now, int(found[1])))
            start = end
        del rest[:start]


def measure(sockets: int, rate: int, seconds: float, kind: str) -> Result:
    """One run of ``seconds``; raises RuntimeError when the server does not answer as it should."""
    with tempfile.TemporaryDirectory() as folder:
        Path(folder, "measured.py").write_text(_MEASURED)
        with ours(folder, "measured:app") as server:
            clients = [_Client(open_socket(server.port, _PATHS[kind])) for _ in range(sockets)]
            try:
                return _run(server.port, clients, rate, seconds)
            finally:
                for client in clients:
                    client.sock.close()


def _run(port: int, clients: Sequence[_Client], rate: int, seconds: float) -> Result:
    sent: list[tuple[int, float]] = []  # last sequence of a batch, when it was sent
    failures: list[str] = []
    publisher = threading.Thread(target=_publish, args=(port, rate, seconds, sent, failures))
    selector = selectors.DefaultSelector()
    for client in clients:
        client.sock.setblocking(False)
        selector.register(client.sock, selectors.EVENT_READ, client)
    cpu_before, started = _hub_cpu_s(port), time.perf_counter()
    publisher.start()
    end = started + seconds + _LAST_FRAMES_S
    while time.perf_counter() < end:
        for key, _ in selector.select(0.1):
            data = key.fileobj.recv(1 << 18)
            key.data.take(data, time.perf_counter())
        if not publisher.is_alive() and sent and _all_arrived(clients, sent[-1][0]):
            break
    took = time.perf_counter() - started
    share = (_hub_cpu_s(port) - cpu_before) / took
    publisher.join()
    if failures:
        raise RuntimeError(failures[0])
    latencies, missing = _latencies(clients, sent)
    published = sent[-1][0] - sent[0][0] + rate // _BATCHES_PER_S
    return Result(
        p50_ms=1000 * latencies[len(latencies) // 2],
        p99_ms=1000 * latencies[len(latencies) * 99 // 100],
        hub_share=share,
        published=published,
        rate=published / seconds,
        missing=missing,
    )


def _publish(
    port: int, rate: int, seconds: float, sent: list[tuple[int, float]], failures: list[str]
) -> None:
    """Batches at a steady pace; each event is of a kind that no handler takes."""
    connection = http.client.HTTPConnection("127.0.0.1", port)
    size = max(1, rate // _BATCHES_PER_S)
    body = json.dumps(
        [{"type": f"bench.kind{n % 5}", "data": {"n": n, "text": "x" * 80}} for n in range(size)]
    )
    started = time.perf_counter()
    for number in range(int(seconds * rate / size)):
        time.sleep(max(0.0, started + number * size / rate - time.perf_counter()))
        at = time.perf_counter()
        connection.request("POST", "/api/events", body, {"Content-Type": "application/json"})
        response = connection.getresponse()
        answer = json.loads(response.read())
        if response.status != 202:
            failures.append(f"{response.status} {answer}")
            return
        sent.append((answer["events"][-1]["sequence"], at))


def _latencies(
    clients: Sequence[_Client], sent: Sequence[tuple[int, float]]
) -> tuple[list[float], int]:
    """Sorted, one for each client and batch; and how many never came."""
    latencies: list[float] = []
    missing = 0
    for client in clients:
        positions = [position for _, position in client.arrivals]
        for last, at in sent:
            index = bisect.bisect_left(positions, last)
            if index == len(positions):
                missing += 1
            else:
                latencies.append(client.arrivals[index][0] - at)
    latencies.sort()
    return latencies, missing


def _all_arrived(clients: Sequence[_Client], last: int) -> bool:
    return all(client.arrivals and client.arrivals[-1][1] >= last for client in clients)


def open_socket(port: int, path: str) -> socket.socket:
    """A WebSocket after its handshake. Raises RuntimeError when the server refuses it."""
    key = base64.b64encode(os.urandom(16)).decode()
    sock = socket.create_connection(("127.0.0.1", port), timeout=20)
    sock.sendall(
        f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nUpgrade: websocket\r\n"
        f"Connection: Upgrade\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: {key}\r\n"
        "Sec-WebSocket-Extensions: permessage-deflate\r\n\r\n".encode()
    )
    head = b""
    while not head.endswith(b"\r\n\r\n"):
        part = sock.recv(1)  # byte by byte, to leave the frames behind it where they are
        if not part:
            raise RuntimeError(f"no WebSocket: {head!r}")
        head += part
    if b" 101 " not in head[:20]:
        raise RuntimeError(f"no WebSocket: {head[:200]!r}")
    return sock


def _hub_cpu_s(port: int) -> float:
    connection = http.client.HTTPConnection("127.0.0.1", port)
    connection.request("GET", "/bench/hub")
    cpu_s: float = json.loads(connection.getresponse().read())["cpu_s"]
    connection.close()
    return cpu_s


def figures(options: Options) -> list[Figure]:
    """The budget: 500 pages at 1,000 events/s within 150 ms (p99), the hub under 15 % of a core."""
    runs = [measure(500, 1_000, 5.0, "page") for _ in range(options.rounds)]
    p99 = Sample(tuple(run.p99_ms for run in runs))
    p50 = Sample(tuple(run.p50_ms for run in runs))
    share = Sample(tuple(100 * run.hub_share for run in runs))
    missing = sum(run.missing for run in runs)
    return [
        Figure("500 sockets × 1,000 events/s, publish to frame, p99", p99.shown(" ms"),
               f"p50 {p50.shown(' ms')}; {missing} events missing", "—", "< 150 ms, none missing",
               p99.median < 150 and not missing),
        Figure("the same, the hub's thread", share.shown(" % of a core", 1), budget="< 15 %",
               is_met=share.median < 15),
    ]  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench.sockets", description=__doc__)
    parser.add_argument("--sockets", type=int, default=500)
    parser.add_argument("--rate", type=int, default=1_000, help="events a second")
    parser.add_argument("--seconds", type=float, default=10.0)
    parser.add_argument("--kind", choices=sorted(_PATHS), default="page")
    options = parser.parse_args()
    result = measure(options.sockets, options.rate, options.seconds, options.kind)
    print(
        f"{described_in_one_line()}\n{options.sockets} sockets ({options.kind}) × "
        f"{result.rate:,.0f} events/s for {options.seconds:g} s: publish to frame "
        f"p50 {result.p50_ms:.0f} ms, "
        f"p99 {result.p99_ms:.0f} ms; hub {result.hub_share:.1%} of a core; "
        f"{result.missing} of {result.published * options.sockets:,} missing"
    )


if __name__ == "__main__":
    main()
