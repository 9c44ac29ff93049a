"""Durable POSTs against a no-op Flask POST, on the same gunicorn with the same load."""

from __future__ import annotations

import http.client
import json
import os
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from bench.report import Figure, median_of

_ROOT = Path(__file__).resolve().parents[1]
_CLIENTS = 8
_NOOP = """
from flask import Flask, request
app = Flask(__name__)
@app.post("/api/events")
def publish():
    request.get_json()
    return {"id": "x", "sequence": 1, "duplicate": False}, 202
@app.get("/healthz")
def health():
    return {}
"""


@contextmanager
def server(target: str, *arguments: str, folder: str) -> Iterator[int]:
    """gunicorn with ``target``, its modules and database in ``folder``; gives the port."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    environment = {
        **os.environ, "PORT": str(port), "PYTHONPATH": f"{folder}:{_ROOT}",
        "EVENTBUS_DATABASE_URL": f"sqlite:///{folder}/events.db", "EVENTBUS_LOG_LEVEL": "error",
    }  # fmt: skip
    process = subprocess.Popen(
        [sys.executable, "-m", "gunicorn", "--bind", f"127.0.0.1:{port}", *arguments, target],
        cwd=_ROOT if target.startswith("wsgi") else folder, env=environment,
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    try:
        deadline = time.monotonic() + 20
        while True:
            try:
                connection = http.client.HTTPConnection("127.0.0.1", port, timeout=1)
                connection.request("GET", "/healthz")
                connection.getresponse().read()
                break
            except OSError:
                if time.monotonic() > deadline or process.poll() is not None:
                    raise RuntimeError(f"{target} did not start") from None
                time.sleep(0.05)
        yield port
    finally:
        process.terminate()
        process.wait(10)


def _wait_handled(port: int) -> None:
    """Until every subscription has handled everything."""
    connection = http.client.HTTPConnection("127.0.0.1", port)
    lag = -1
    while lag != 0:
        connection.request("GET", "/api/subscriptions")
        lag = sum(s["lag"] for s in json.load(connection.getresponse())["subscriptions"])


def _load(port: int, body: bytes, requests: int, events: int, is_handled: bool = False) -> float:
    """Events per second: ``requests`` POSTs of ``body`` by clients that keep connections.

    Until they are accepted, or with ``is_handled`` until all handlers have handled them.
    """
    failures: list[str] = []

    def client() -> None:
        connection = http.client.HTTPConnection("127.0.0.1", port)
        for _ in range(requests // _CLIENTS):
            connection.request("POST", "/api/events", body, {"Content-Type": "application/json"})
            response = connection.getresponse()
            response.read()
            if response.status != 202:
                failures.append(f"{response.status} {response.reason}")

    threads = [threading.Thread(target=client) for _ in range(_CLIENTS)]
    started = time.perf_counter()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if is_handled:
        _wait_handled(port)
    if failures:
        raise RuntimeError(f"{len(failures)} requests failed: {failures[0]}")
    return requests // _CLIENTS * _CLIENTS * events / (time.perf_counter() - started)


def figures(rounds: int) -> list[Figure]:
    """The budgets: a single POST at 75 % of a no-op POST; batches of 100 at 10,000 events/s."""
    one = json.dumps({"type": "bench.posted", "data": {"value": 1}}).encode()
    batch = json.dumps([
        {"type": "evaluation.progress", "data": {"eval_id": f"e{i}", "done": 1, "total": 9}}
        for i in range(100)
    ]).encode()  # fmt: skip
    with tempfile.TemporaryDirectory() as folder:
        Path(folder, "noop_post.py").write_text(_NOOP)
        options = ("--config", str(_ROOT / "gunicorn.conf.py"))
        plain = ("--worker-class", "gthread", "--threads", "16", "--log-level", "error")
        with server("noop_post:app", *plain, folder=folder) as port:
            noop = median_of(lambda: _load(port, one, 2_000, 1), rounds)
        with server("wsgi:app", *options, folder=folder) as port:
            single = median_of(lambda: _load(port, one, 2_000, 1), rounds)
            batched = median_of(lambda: _load(port, batch, 80, 100), rounds)
            handled = median_of(lambda: _load(port, batch, 80, 100, is_handled=True), rounds)
    return [
        Figure("HTTP single POST, durable", f"{single:,.0f}/s", f"no-op Flask POST: {noop:,.0f}/s",
               f"{single / noop:.0%}", "≥ 75 %", single / noop >= 0.75),
        Figure("HTTP batches of 100, handled", f"{handled:,.0f}/s", "—", "—", "≥ 10,000/s",
               handled >= 10_000),
        Figure("HTTP batches of 100, accepted", f"{batched:,.0f}/s", "—", "—", "—", True),
    ]  # fmt: skip
