"""Servers to measure: ours as it is run, and the same and another with a POST that does nothing."""

from __future__ import annotations

import http.client
import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
_START_S = 120.0
_STOP_S = 20.0
_POLL_S = 0.02
_THREADS = 32  # as our server's own default
_HANDLED_POLL_S = 0.03

_NOOP_FLASK = """
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
_NOOP_FASTAPI = """
from fastapi import FastAPI, Request
app = FastAPI()
@app.post("/api/events", status_code=202)
async def publish(request: Request):
    await request.json()
    return {"id": "x", "sequence": 1, "duplicate": False}
@app.get("/healthz")
async def health():
    return {}
"""


@dataclass(frozen=True, slots=True)
class Server:
    """A running server; ``started_s`` is how long it took to answer first."""

    port: int
    pid: int
    started_s: float

    def get(self, path: str) -> Any:
        """The JSON at ``path``. Raises RuntimeError for any answer but 200."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
        try:
            connection.request("GET", path)
            answer = connection.getresponse()
            body = answer.read()
        finally:
            connection.close()
        if answer.status != 200:
            raise RuntimeError(f"{answer.status} for {path}: {body[:200]!r}")
        return json.loads(body)

    def lags(self) -> dict[str, int]:
        """For each subscription how many events it has not finished."""
        return {one["name"]: one["lag"] for one in self.get("/api/subscriptions")["subscriptions"]}

    def wait_handled(self, timeout_s: float = 120.0) -> None:
        """Until every subscription has handled everything. Raises RuntimeError when it does not."""
        deadline = time.monotonic() + timeout_s
        while any((lags := self.lags()).values()):
            if time.monotonic() > deadline:
                raise RuntimeError(f"not handled within {timeout_s:g} s: {lags}")
            time.sleep(_HANDLED_POLL_S)

    @property
    def worker_pid(self) -> int:
        """The process with the app: gunicorn's child, else the server itself."""
        children = Path(f"/proc/{self.pid}/task/{self.pid}/children").read_text().split()
        return int(children[0]) if children else self.pid

    def rss_mib(self) -> float:
        """Resident memory of the process with the app."""
        return rss_mib(self.worker_pid)


def rss_mib(pid: int) -> float:
    """Resident memory of a process."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) / 1024
    raise RuntimeError(f"process {pid} has ended")


@contextmanager
def ours(folder: str, target: str = "wsgi:app", **variables: str) -> Iterator[Server]:
    """Our server as ``make run`` starts it, its database in ``folder``, where ``target`` may be."""
    command = ["-m", "gunicorn", "--config", str(ROOT / "gunicorn.conf.py"), target]
    environment = {
        "EVENTBUS_DATABASE_URL": f"sqlite:///{folder}/events.db", "EVENTBUS_LOG_LEVEL": "error",
        "PYTHONPATH": f"{folder}:{ROOT}", **variables,
    }  # fmt: skip
    with _serving(command, Path(folder), environment) as server:
        yield server


@contextmanager
def noop_flask(folder: str) -> Iterator[Server]:
    """A Flask app that parses the body and answers, on the same gunicorn."""
    Path(folder, "noop_flask.py").write_text(_NOOP_FLASK)
    command = [
        "-m", "gunicorn", "--worker-class", "gthread", "--threads", str(_THREADS),
        "--keep-alive", "15", "--log-level", "error", "noop_flask:app",
    ]  # fmt: skip
    with _serving(command, Path(folder), {}) as server:
        yield server


@contextmanager
def noop_fastapi(folder: str) -> Iterator[Server]:
    """A FastAPI app that does the same, on uvicorn with its fast parser and loop."""
    Path(folder, "noop_fastapi.py").write_text(_NOOP_FASTAPI)
    command = ["-m", "uvicorn", "--no-access-log", "--log-level", "error", "noop_fastapi:app"]
    with _serving(command, Path(folder), {}) as server:
        yield server


@contextmanager
def _serving(command: Sequence[str], folder: Path, variables: dict[str, str]) -> Iterator[Server]:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    kept = {name: value for name, value in os.environ.items() if not name.startswith("EVENTBUS_")}
    is_uvicorn = "uvicorn" in command
    where = ["--port", str(port)] if is_uvicorn else ["--bind", f"127.0.0.1:{port}"]
    started = time.monotonic()
    with (folder / "server.log").open("ab") as log:
        process = subprocess.Popen(
            [sys.executable, *command, *where], cwd=folder, stdout=log, stderr=log,
            env={**kept, "HOST": "127.0.0.1", "PORT": str(port), **variables},
        )  # fmt: skip
    try:
        while not _answers(port):
            if time.monotonic() - started > _START_S or process.poll() is not None:
                output = (folder / "server.log").read_text()[-2_000:]
                raise RuntimeError(f"{' '.join(command)} did not start:\n{output}")
            time.sleep(_POLL_S)
        yield Server(port, process.pid, time.monotonic() - started)
    finally:
        process.terminate()
        try:
            process.wait(_STOP_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _answers(port: int) -> bool:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
    try:
        connection.request("GET", "/healthz")
        return connection.getresponse().status == 200
    except OSError:
        return False
    finally:
        connection.close()
