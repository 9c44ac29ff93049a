"""The API's answers from a closed database, for commands that only read while no server runs."""

from __future__ import annotations

import http.client
from collections.abc import Callable, Iterator, Mapping
from types import SimpleNamespace
from typing import Any, NoReturn, cast

from flask import Flask, Response
from werkzeug.exceptions import HTTPException

from app.config import Settings
from app.database import database_path, open_log
from app.problems import as_problem, problem_response
from app.runtime import Runtime, handler_settings
from app.transfers import Transfers
from eventbus import EventBus
from eventbus.client.connection import Connection, Reply
from eventbus.errors import TravelNotReadyError
from eventbus.log import EventLog
from eventbus.log.address import is_on_server
from eventbus.log.search import Index
from handlers import Handlers

# What only reads, and what the log and the read models alone can answer.
_PATHS = ("/api/events", "/api/scheduled", "/api/stats", "/api/evaluations", "/api/alerts")


class FallbackConnection:
    """A connection to a server; from the first request that finds nobody there, to its database.

    ``tell`` gets a sentence then. What changes anything is still the server's alone.
    """

    def __init__(
        self, connection: Connection, app: Flask, settings: Settings, tell: Callable[[str], None]
    ) -> None:
        self._connection = connection
        self._app = app
        self._settings = settings
        self._tell = tell
        self._closed: ClosedDatabase | None = None

    def exchange(
        self, method: str, path: str, body: bytes | None = None,
        headers: Mapping[str, str] | None = None, **options: Any,
    ) -> Reply:  # fmt: skip
        """As of a Connection."""
        if self._closed is None:
            try:
                return self._connection.exchange(method, path, body, headers, **options)
            except ConnectionRefusedError:
                self._fall_back(method, path)
        return self._answers().exchange(path)

    def open(
        self, method: str, path: str, headers: Mapping[str, str] | None = None
    ) -> http.client.HTTPResponse:
        """As of a Connection."""
        if self._closed is None:
            try:
                return self._connection.open(method, path, headers)
            except ConnectionRefusedError:
                self._fall_back(method, path)
        return cast(http.client.HTTPResponse, self._answers().open(path))

    def close(self) -> None:
        self._connection.close()
        if self._closed is not None:
            self._closed.close()

    def _answers(self) -> ClosedDatabase:
        assert self._closed is not None, "fallen back, or raised"
        return self._closed

    def _fall_back(self, method: str, path: str) -> None:
        """Raises what is being handled when the database cannot answer either."""
        url = self._settings.database_url
        is_there = is_on_server(url) or database_path(self._settings).exists()
        if method != "GET" or not path.startswith(_PATHS) or not is_there:
            raise
        self._closed = ClosedDatabase(self._app, self._settings)
        self._tell(f"no server runs: read from {self._closed.name}")


class ClosedDatabase:
    """Opens the database as a server would, so that none can start meanwhile, and runs nothing."""

    def __init__(self, app: Flask, settings: Settings) -> None:
        """Raises LogError, LogLockedError."""
        self._app = app
        self._log = open_log(settings)
        self.name = self._log.storage.name
        self._before = app.extensions["eventbus"]
        app.extensions["eventbus"] = _Reading(app, settings, self._log)

    def close(self) -> None:
        self._app.extensions["eventbus"] = self._before
        self._log.close()

    def exchange(self, path: str) -> Reply:
        """The answer to a GET."""
        response = self._answer(path)
        fields = {name.lower(): value for name, value in response.headers}
        return Reply(response.status_code, response.status[4:], fields, response.get_data(), True)

    def open(self, path: str) -> Streamed:
        """The answer to a GET as it is made."""
        return Streamed(self._answer(path))

    def _answer(self, path: str) -> Response:
        # Not the app's whole way: it would begin with starting a bus.
        with self._app.test_request_context(path):
            try:
                return self._app.make_response(self._app.dispatch_request())
            except (Exception, HTTPException) as error:
                return problem_response(as_problem(error))


class Streamed:
    """What a reader of an http.client.HTTPResponse needs of one, from an answer made here."""

    length = None
    chunked = True

    def __init__(self, response: Response) -> None:
        self.status = response.status_code
        self.reason = response.status[4:]
        self._headers = list(response.headers)
        self._parts: Iterator[bytes] = iter(response.response)  # type: ignore[arg-type]
        self._is_over = False

    def getheaders(self) -> list[tuple[str, str]]:
        return self._headers

    def read1(self, _size: int) -> bytes:
        part = next(self._parts, b"")
        self._is_over = not part
        return part

    def read(self, _size: int) -> bytes:
        return b"".join(self._parts)

    def isclosed(self) -> bool:
        return self._is_over


class _Reading(Runtime):
    """A runtime of which only what reads is there."""

    def __init__(self, app: Flask, settings: Settings, log: EventLog) -> None:
        super().__init__(app, settings)
        self.bus = cast(EventBus, SimpleNamespace(log=log))
        self.handlers = Handlers(self.bus, handler_settings(settings))
        self.hub = cast(Any, SimpleNamespace(rate=lambda: 0.0))
        self.index = Index(log)
        self.transfers = Transfers(log)

    def start(self, wait_for_lock_s: float = 0.0) -> None:
        """There is nothing to start."""

    @property
    def travels(self) -> NoReturn:
        raise TravelNotReadyError("what was at another time is told by a running server")
