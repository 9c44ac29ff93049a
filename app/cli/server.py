"""The running server as a command line sees it: JSON over HTTP, and errors in words."""

from __future__ import annotations

import json
import urllib.error
import urllib.request
from typing import Any

from app.config import Settings

_TIMEOUT_S = 30.0


class ServerError(Exception):
    """The server does not answer, or answers with a problem."""


class Server:
    """Requests to the server at ``url``."""

    def __init__(self, url: str) -> None:
        self.url = url.rstrip("/")

    @classmethod
    def at(cls, url: str | None, settings: Settings) -> Server:
        """The server at ``url``, by default at the address of the settings."""
        if url is None:
            host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(settings.host, settings.host)
            shown = f"[{host}]" if ":" in host else host
            url = f"http://{shown}:{settings.port}"
        return cls(url)

    def answers(self) -> bool:
        """Whether an event bus is there."""
        try:
            return "sequence" in self.get("/api/stats")
        except ServerError as error:
            if isinstance(error.__cause__, urllib.error.HTTPError):
                raise
            return False

    def get(self, path: str) -> dict[str, Any]:
        """The JSON object at ``path``. Raises ServerError."""
        return self._ask(urllib.request.Request(self.url + path))

    def post(self, path: str, body: dict[str, Any]) -> dict[str, Any]:
        """What the server answers to ``body``. Raises ServerError."""
        request = urllib.request.Request(
            self.url + path,
            data=json.dumps(body).encode(),
            headers={"Content-Type": "application/json"},
            method="POST",
        )
        return self._ask(request)

    def _ask(self, request: urllib.request.Request) -> dict[str, Any]:
        try:
            with urllib.request.urlopen(request, timeout=_TIMEOUT_S) as response:
                value = json.load(response)
        except urllib.error.HTTPError as error:
            raise ServerError(f"{self.url} answers {error.code}: {_detail(error)}") from error
        except (OSError, ValueError) as error:
            raise ServerError(f"{self.url} does not answer: {error}") from error
        if not isinstance(value, dict):
            raise ServerError(f"{self.url} answers, but not as an event bus does")
        return value


def _detail(error: urllib.error.HTTPError) -> str:
    try:
        return str(json.load(error)["detail"])
    except (ValueError, KeyError, TypeError, OSError):
        return error.reason
