"""What the server decides about evaluations, read as any runner outside could read it."""

from __future__ import annotations

import http.client
import json
import logging
import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, get_args
from urllib.parse import urlencode, urlsplit

from app.demo.platform import Verdict
from eventbus.client.connection import authorization

POLL_S = 0.25
_TIMEOUT_S = 5.0
_PAGE = 500

log = logging.getLogger(__name__)


class ServerError(Exception):
    """What is at the URL does not answer, or not as an event bus does."""


class Reader:
    """GET requests to the bus at ``url`` over one kept connection; for one thread."""

    def __init__(self, url: str, timeout_s: float = _TIMEOUT_S, token: str | None = None) -> None:
        """Raises ValueError for a URL or a token that cannot be used."""
        self._headers = authorization(token)
        parts = urlsplit(url)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise ValueError(f"the URL must be like http://127.0.0.1:8000, not {url!r}")
        is_tls = parts.scheme == "https"
        kind = http.client.HTTPSConnection if is_tls else http.client.HTTPConnection
        self._connection = kind(parts.hostname, parts.port, timeout=timeout_s)
        self._path = parts.path.rstrip("/")

    def get(self, path: str, **query: object) -> dict[str, Any]:
        """The JSON object at ``path``. Raises ServerError."""
        try:
            self._connection.request(
                "GET", f"{self._path}{path}?{urlencode(query)}", headers=self._headers
            )
            response = self._connection.getresponse()
            content = response.read()
            value = json.loads(content) if response.status == 200 else None
            if response.status in (401, 403):
                raise ServerError(f"it answered {response.status}: set EVENTBUS_TOKEN to a token")
        except (OSError, http.client.HTTPException, ValueError) as error:
            self.close()
            raise ServerError(str(error) or type(error).__name__) from error
        if not isinstance(value, dict):
            raise ServerError(f"it answered {response.status}, but not as an event bus does")
        return value

    def sequence(self) -> int:
        """The position of the log. Raises ServerError, also when there is no bus."""
        sequence = self.get("/api/stats").get("sequence")
        if not isinstance(sequence, int):
            raise ServerError("it answered, but not as an event bus does")
        return sequence

    def close(self) -> None:
        """Close the connection; the next request makes a new one."""
        self._connection.close()


@dataclass(frozen=True, slots=True)
class Heard:
    """A decision about an evaluation: ``retry_count`` is that of the event."""

    verdict: Verdict
    eval_id: str
    retry_count: int


class Verdicts:
    """A thread, ``demo-verdicts``, that hands over every decision once, in the order of the log.

    It remembers where it was, so nothing is missed while the server is away.
    """

    def __init__(
        self, url: str, after: int, hand_over: Callable[[Heard], None], token: str | None = None
    ) -> None:
        """``after`` is the position in the log to begin at; ``hand_over`` must not block."""
        self._reader = Reader(url, token=token)
        self._after = dict.fromkeys(get_args(Verdict), after)
        self._hand_over = hand_over
        self._closing = threading.Event()
        self._is_away = False
        self._thread = threading.Thread(target=self._run, name="demo-verdicts", daemon=True)

    def start(self) -> None:
        """Begin to ask."""
        self._thread.start()

    def close(self) -> None:
        """Ask no more; a request that hangs is not waited for."""
        self._closing.set()
        self._thread.join(timeout=1.0)

    def _run(self) -> None:
        while not self._closing.is_set():
            is_full = False
            try:
                for verdict in self._after:
                    is_full |= self._read(verdict)
            except ServerError as error:
                if not self._is_away:
                    log.warning("asking for retries failed, is repeated: %s", error)
                self._is_away = True
            else:
                self._is_away = False
            if not is_full:
                self._closing.wait(POLL_S)
        self._reader.close()

    def _read(self, verdict: Verdict) -> bool:
        """Hand over one page of decisions; whether there may be more."""
        page = self._reader.get(
            "/api/events",
            type=f"evaluation.{verdict}",
            order="asc",
            after=self._after[verdict],
            limit=_PAGE,
        )
        events = page.get("events")
        if not isinstance(events, list):
            raise ServerError("it answered, but not as an event bus does")
        for event in events:
            data = event["data"]
            retry_count = data.get("retry_count", 0)
            self._hand_over(Heard(verdict, str(data.get("eval_id")), retry_count))
            self._after[verdict] = event["sequence"]
        return len(events) == _PAGE
