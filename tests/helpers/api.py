"""A small HTTP client for tests: plain requests on sockets of the standard library."""

from __future__ import annotations

import http.client
import json
import select
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode


@dataclass(frozen=True, slots=True)
class Answer:
    """What came back; header names are in lower case, each cookie has a line."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        """The body as JSON."""
        return json.loads(self.body)

    @property
    def text(self) -> str:
        """The body as text."""
        return self.body.decode()


class Api:
    """Requests to one server. One connection, made when needed, so: for one thread each."""

    def __init__(self, port: int, host: str = "127.0.0.1", timeout_s: float = 30.0) -> None:
        self._connection = http.client.HTTPConnection(host, port, timeout=timeout_s)

    def close(self) -> None:
        """Close the connection; the next request makes a new one."""
        self._connection.close()

    def request(
        self,
        method: str,
        path: str,
        body: bytes | str | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> Answer:
        """One request, as given; raises OSError or http.client.HTTPException when it breaks."""
        data = body.encode() if isinstance(body, str) else body
        if (sock := self._connection.sock) is not None and select.select([sock], [], [], 0)[0]:
            self._connection.close()  # the server has: nothing was asked for a while
        try:
            self._connection.request(method, path, data, dict(headers or {}))
            response = self._connection.getresponse()
            content = response.read()
        except BaseException:
            self._connection.close()
            raise
        fields = {name.lower(): value for name, value in response.getheaders()}
        if cookies := response.headers.get_all("set-cookie"):
            fields["set-cookie"] = "\n".join(cookies)
        return Answer(response.status, fields, content)

    def get(self, path: str, **query: object) -> Answer:
        """GET with the query's values percent-encoded."""
        full = f"{path}?{urlencode(query)}" if query else path
        return self.request("GET", full)

    def post(self, path: str, value: Any = None, **query: object) -> Answer:
        """POST of a JSON value; of no body when it is None."""
        full = f"{path}?{urlencode(query)}" if query else path
        if value is None:
            return self.request("POST", full)
        return self.request("POST", full, json.dumps(value), {"Content-Type": "application/json"})

    def publish(self, type: str, data: Any = None, **rest: Any) -> dict[str, Any]:
        """Publish one event and wait until its handlers have tried it; gives the receipt."""
        answer = self.post(
            "/api/events", {"type": type, "data": data or {}, **rest}, wait="attempted"
        )
        assert answer.status in (200, 202), answer.text
        receipt: dict[str, Any] = answer.json
        return receipt

    def counters(self) -> dict[str, int]:
        """The counters of the header."""
        counters: dict[str, int] = self.get("/api/stats").json["counters"]
        return counters
