"""A small real HTTP server that answers like the bus, or fails in the way a test asks for."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any, Self

Json = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Reply:
    """What the server answers instead of recording; ``body`` is sent as it is."""

    status: int
    body: bytes = b""
    headers: dict[str, str] = field(default_factory=dict)

    @classmethod
    def problem(cls, status: int, *pointers: str, **headers: str) -> Reply:
        """A problem document whose errors point where the pointers say."""
        errors = [{"pointer": pointer, "detail": "is wrong"} for pointer in pointers]
        document = {"title": "No", "status": status, "detail": "not like this", "errors": errors}
        return cls(status, json.dumps(document).encode(), headers)


Behaviour = Callable[[list[Json]], Reply | None]


class RecordingBus:
    """Records what is posted to ``/api/events``, each id once.

    ``behaviour`` looks at each batch first and may return a Reply to give instead. ``hold`` makes
    requests wait until ``release``. A context manager; ``stop`` and ``start`` again use the same
    port, so that it can be away for a while.
    """

    def __init__(self, behaviour: Behaviour | None = None) -> None:
        self.behaviour = behaviour
        self.events: list[Json] = []
        self.batches: list[list[Json]] = []
        self.paths: list[str] = []
        self.content_types: set[str] = set()
        self.arrived = threading.Condition()
        self._may_answer = threading.Event()
        self._may_answer.set()
        self._port = 0
        self._server: ThreadingHTTPServer | None = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._port}"

    @property
    def ids(self) -> list[str]:
        return [event["id"] for event in self.events]

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()

    def start(self) -> None:
        bus = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                bus._answer(self)

            def log_message(self, format: str, *args: object) -> None:
                """Say nothing."""

        self._server = ThreadingHTTPServer(("127.0.0.1", self._port), Handler)
        self._server.daemon_threads = True
        self._port = self._server.server_address[1]
        threading.Thread(target=self._server.serve_forever, args=(0.01,), daemon=True).start()

    def stop(self) -> None:
        self._may_answer.set()
        if self._server is not None:
            self._server.shutdown()
            self._server.server_close()
            self._server = None

    def hold(self) -> None:
        self._may_answer.clear()

    def release(self) -> None:
        self._may_answer.set()

    def wait_for_batches(self, count: int, timeout_s: float = 10.0) -> None:
        with self.arrived:
            assert self.arrived.wait_for(lambda: len(self.batches) >= count, timeout_s), (
                f"{len(self.batches)} batches instead of {count} in {timeout_s:g} s"
            )

    def _answer(self, request: BaseHTTPRequestHandler) -> None:
        body = request.rfile.read(int(request.headers["Content-Length"]))
        batch: list[Json] = json.loads(body)
        with self.arrived:
            self.batches.append(batch)
            self.paths.append(request.path)
            self.content_types.add(request.headers["Content-Type"])
            self.arrived.notify_all()
        self._may_answer.wait(30)
        reply = self.behaviour(batch) if self.behaviour else None
        if reply is None:
            reply = Reply(202, json.dumps({"events": self._record(batch)}).encode())
        request.close_connection = self._server is None  # stopped: a kept connection ends too
        try:
            request.send_response(reply.status)
            for name, value in reply.headers.items():
                request.send_header(name.replace("_", "-"), value)
            request.send_header("Content-Length", str(len(reply.body)))
            request.end_headers()
            request.wfile.write(reply.body)
        except OSError:
            request.close_connection = True  # the client has given up waiting

    def _record(self, batch: list[Json]) -> list[Json]:
        with self.arrived:
            known = set(self.ids)
            answers = []
            for event in batch:
                is_known = event["id"] in known
                if not is_known:
                    self.events.append(event)
                sequence = self.ids.index(event["id"]) + 1
                answers.append({"id": event["id"], "sequence": sequence, "duplicate": is_known})
            return answers
