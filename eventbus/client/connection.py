"""One kept HTTP connection to a bus: requests and their answers, also those that never end."""

from __future__ import annotations

import http.client
import os
import re
import socket
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from urllib.parse import urlsplit

TOKEN_VARIABLE = "EVENTBUS_TOKEN"
MAX_ANSWER_BYTES = 4 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class Reply:
    """An answer; the names of ``headers`` are in lower case."""

    status: int
    reason: str
    headers: Mapping[str, str]
    content: bytes
    is_whole: bool
    """Whether ``content`` is all of it: of what is too long only the beginning is read."""


class Connection:
    """Belongs to one thread; only ``abort`` may be called from others."""

    def __init__(self, url: str, timeout_s: float, token: str | None = None) -> None:
        """``url`` is the bus's address, like ``http://127.0.0.1:8000``; ``timeout_s`` bounds each
        wait for the network; ``token`` is sent as RFC 6750 §2.1 says. Raises ValueError.
        """
        if not isinstance(url, str):
            raise ValueError(f"the bus's URL must be text like http://127.0.0.1:8000, not {url!r}")
        parts = urlsplit(url)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise ValueError(
                f"the bus's URL must be like http://127.0.0.1:8000, not {_without_secrets(url)!r}"
            )
        if parts.query or parts.fragment or parts.username or parts.password:
            raise ValueError(
                "the bus's URL must have no user, query or fragment, unlike "
                f"{_without_secrets(url)!r}"
            )
        is_tls = parts.scheme == "https"
        kind = http.client.HTTPSConnection if is_tls else http.client.HTTPConnection
        self._connection: http.client.HTTPConnection = kind(
            parts.hostname, parts.port, timeout=timeout_s
        )
        self._base = parts.path.rstrip("/")
        self._own = authorization(token)

    def exchange(
        self,
        method: str,
        path: str,
        body: bytes | None = None,
        headers: Mapping[str, str] | None = None,
        *,
        most_bytes: int = MAX_ANSWER_BYTES,
        is_repeatable: bool = True,
    ) -> Reply:
        """Send a request and read its answer, up to ``most_bytes`` of it.

        On a kept connection that the server has closed meanwhile it is sent once more, unless it
        is not ``is_repeatable``: then a new connection is made for it. Raises OSError,
        http.client.HTTPException.
        """
        if not is_repeatable:
            self.close()
        was_open = self._connection.sock is not None
        try:
            return self._exchange(method, path, body, headers, most_bytes)
        except (ConnectionError, http.client.BadStatusLine):
            if not was_open:
                raise
            return self._exchange(method, path, body, headers, most_bytes)

    def open(
        self, method: str, path: str, headers: Mapping[str, str] | None = None
    ) -> http.client.HTTPResponse:
        """An answer to be read as it comes, before anything else is asked; made on a new
        connection. Raises OSError, http.client.HTTPException.
        """
        self.close()
        try:
            self._connection.request(
                method, self._base + path, headers={**(headers or {}), **self._own}
            )
            return self._connection.getresponse()
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """End the connection; the next request makes a new one."""
        self._connection.close()

    def abort(self) -> None:
        """Break off what is being sent or waited for."""
        sock = self._connection.sock
        if sock is not None:
            with suppress(OSError):  # not connected any more: that is what was wanted
                sock.shutdown(socket.SHUT_RDWR)  # unlike close, it wakes a blocked reader

    def _exchange(
        self,
        method: str,
        path: str,
        body: bytes | None,
        headers: Mapping[str, str] | None,
        most_bytes: int,
    ) -> Reply:
        try:
            self._connection.request(
                method, self._base + path, body, {**(headers or {}), **self._own}
            )
            response = self._connection.getresponse()
            content = response.read(most_bytes)
            is_whole = response.isclosed() or len(content) < most_bytes
            if not response.isclosed():
                self._connection.close()
            fields = {name.lower(): value for name, value in response.getheaders()}
            return Reply(response.status, response.reason, fields, content, is_whole)
        except BaseException:
            self._connection.close()
            raise


def token_or_default(token: str | None) -> str | None:
    """The token, by default that of the environment variable EVENTBUS_TOKEN."""
    return os.environ.get(TOKEN_VARIABLE) if token is None else token


def authorization(token: str | None) -> dict[str, str]:
    """The header that a token is sent in (RFC 6750 §2.1); none without one. Raises ValueError."""
    if not token:
        return {}
    if not re.fullmatch(r"[A-Za-z0-9._~+/=-]+", token):
        raise ValueError("the token has characters that no token has; is it cut off or quoted?")
    return {"Authorization": f"Bearer {token}"}


def described(error: Exception) -> str:
    """What a network has done, in words."""
    if isinstance(error, TimeoutError):
        return "it did not answer in time"
    return str(error) or type(error).__name__


def _without_secrets(url: str) -> str:
    return re.sub(r"//[^/@]*@", "//***@", url)[:200]
