"""The server as a command sees it: JSON over HTTP, and every refusal in the server's own words."""

from __future__ import annotations

import http.client
import json
import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any
from urllib.parse import quote, urlencode

from eventbus.client.connection import Connection, Reply, described
from eventbus.command.errors import (
    CommandError,
    MissingError,
    NotAllowedError,
    ServerRefusedError,
    UnreachableError,
    UsageError,
)

TIMEOUT_S = 35.0  # a publish may wait for handlers for 30 s
PAGE = 200
# A page of events with 256 KiB each; more is no answer of a bus.
_MOST_BYTES = 256 * 1024 * 1024
_MOST_ERRORS = 20
_JSON = {"Accept": "application/json"}

Object = dict[str, Any]


class Server:
    """Requests to the bus at ``url``; belongs to one thread. A context manager."""

    def __init__(
        self,
        url: str,
        token: str | None = None,
        timeout_s: float = TIMEOUT_S,
        through: Callable[[Connection], Any] = lambda connection: connection,
    ) -> None:
        """``through`` may put something of the same surface in front of the connection.

        Raises UsageError for an address that cannot be one.
        """
        self.url = url.rstrip("/")
        self.token = token
        self.timeout_s = timeout_s
        try:
            connection = Connection(self.url, timeout_s, token)
        except ValueError as error:
            raise UsageError(str(error)) from None
        self._connection: Connection = through(connection)

    def close(self) -> None:
        self._connection.close()

    def get(self, path: str, **query: object) -> Object:
        """The JSON object at ``path``. Raises CommandError, as all here."""
        return self._object(self._ask("GET", path, query, None, _JSON, is_repeatable=True))

    def post(self, path: str, body: Mapping[str, Any], **query: object) -> Object:
        """What the server answers to a JSON ``body``; it is sent once."""
        return self.send("POST", path, json.dumps(body).encode(), "application/json", query)

    def delete(self, path: str, body: Mapping[str, Any], **query: object) -> Object:
        """What the server answers to the deletion of what is at ``path``."""
        return self.send("DELETE", path, json.dumps(body).encode(), "application/json", query)

    def send(
        self,
        method: str,
        path: str,
        body: bytes,
        content_type: str,
        query: Mapping[str, object],
        *,
        is_repeatable: bool = False,
    ) -> Object:
        """What the server answers to any body; ``is_repeatable`` when sending it twice is safe."""
        headers = {"Content-Type": content_type, **_JSON}
        return self._object(self._ask(method, path, query, body, headers, is_repeatable))

    def items(self, path: str, name: str, limit: int | None, **query: object) -> Iterator[Object]:
        """The items of a list, page by page, up to ``limit``, all for None."""
        cursor: str | None = None
        left = limit
        while left is None or left > 0:
            size = PAGE if left is None else min(PAGE, left)
            page = self.get(path, **{**query, "limit": size, "cursor": cursor})
            yield from page[name]
            left = None if left is None else left - len(page[name])
            cursor = page["next"]
            if cursor is None:
                return

    def open(self, path: str, **query: object) -> http.client.HTTPResponse:
        """An answer that is read as it comes."""
        try:
            response = self._connection.open("GET", _target(path, query))
            if response.status == 200:
                return response
            content = response.read(65_536)
        except (OSError, http.client.HTTPException) as error:
            raise self._unreachable(error) from error
        fields = {name.lower(): value for name, value in response.getheaders()}
        raise _refused(Reply(response.status, response.reason, fields, content, True), self.token)

    def is_there(self) -> bool:
        """Whether an event bus answers; raises ServerRefusedError when it says no."""
        try:
            return "sequence" in self.get("/api/stats")
        except UnreachableError:
            return False

    def _ask(
        self,
        method: str,
        path: str,
        query: Mapping[str, object],
        body: bytes | None,
        headers: Mapping[str, str],
        is_repeatable: bool,
    ) -> Reply:
        try:
            reply = self._connection.exchange(
                method, _target(path, query), body, headers,
                most_bytes=_MOST_BYTES, is_repeatable=is_repeatable,
            )  # fmt: skip
        except (OSError, http.client.HTTPException) as error:
            raise self._unreachable(error) from error
        if not 200 <= reply.status < 300:
            raise _refused(reply, self.token)
        return reply

    def _object(self, reply: Reply) -> Object:
        value = _parsed(reply.content)
        if value is None or not reply.is_whole:
            raise UnreachableError(
                f"{self.url} answers {reply.status}, but not as an event bus does"
            )
        return value

    def _unreachable(self, error: Exception) -> UnreachableError:
        return UnreachableError(f"no event bus answers at {self.url}: {described(error)}")


def token(name: str) -> str:
    """A name as one part of a path."""
    return quote(name, safe="")


def _target(path: str, query: Mapping[str, object]) -> str:
    given = {name: value for name, value in query.items() if value is not None}
    return f"{path}?{urlencode(given)}" if given else path


def _refused(reply: Reply, token: str | None) -> CommandError:
    """What a problem document (RFC 9457) says; the fields that its sentence does not name too."""
    problem = _parsed(reply.content) or {}
    detail = problem.get("detail") or problem.get("title")
    message = str(detail) if detail else f"the server answers {reply.status} {reply.reason}"
    errors = problem.get("errors")
    more = [
        f"{error.get('pointer') or '/'}: {error.get('detail')}"
        for error in (errors if isinstance(errors, list) else ())
        if isinstance(error, dict)
    ]
    more = more[:_MOST_ERRORS] if len(more) > 1 else []
    kind = {401: NotAllowedError, 403: NotAllowedError, 404: MissingError}.get(
        reply.status, ServerRefusedError
    )
    if reply.status == 401 and token is None:
        message += "; a token is given with EVENTBUS_TOKEN or --token"
    wait = reply.headers.get("retry-after", "")
    wait_s = float(wait) if re.fullmatch(r"\d{1,6}", wait) else None
    return kind(reply.status, message, more, problem, wait_s)


def _parsed(content: bytes) -> Object | None:
    try:
        value = json.loads(content)
    except (ValueError, RecursionError):
        return None
    return value if isinstance(value, dict) else None
