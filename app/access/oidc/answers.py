"""What a provider answers, as JSON: asked for in bounded time and size."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

from app.access.errors import ProviderError
from handlers.errors import PostError
from handlers.http_post import HttpAnswer, post

MAX_ANSWER_BYTES = 262_144
LOOPBACK = ("localhost", "127.0.0.1", "::1")


def ask(
    url: str, timeout_s: float, headers: Mapping[str, str] | None = None, body: bytes | None = None
) -> HttpAnswer:
    """GET, or POST a ``body``. Raises ProviderError when there is no answer, or one of 5xx."""
    sent = {"Accept": "application/json", **(headers or {})}
    method = "GET" if body is None else "POST"
    try:
        answer = post(url, body, sent, timeout_s, method=method, most_bytes=MAX_ANSWER_BYTES)
    except (PostError, ValueError) as error:
        raise ProviderError(str(error)) from None
    if answer.status >= 500:
        raise ProviderError(f"{answer.host} answered {answer.status_line}")
    return answer


def members(answer: HttpAnswer) -> dict[str, Any]:
    """The JSON object of an answer; empty when it is none."""
    try:
        found = json.loads(answer.text)
    except (ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}


def get(url: str, timeout_s: float, headers: Mapping[str, str] | None = None) -> dict[str, Any]:
    """The JSON object at ``url``. Raises ProviderError."""
    answer = ask(url, timeout_s, headers)
    found = members(answer)
    if answer.status != 200 or not found:
        said = answer.status_line if answer.status != 200 else "no JSON object"
        raise ProviderError(f"{answer.host} answered {said} at {urlsplit(url).path[:100]}")
    return found


def is_safe(url: object) -> bool:
    """Whether it is an address whose answers can be believed: https, or of this very machine."""
    if not isinstance(url, str) or not url.isascii() or not url.isprintable() or " " in url:
        return False
    try:
        parts = urlsplit(url)
        _ = parts.port
    except ValueError:
        return False
    if not parts.hostname or parts.username is not None or parts.fragment or len(url) > 2_000:
        return False
    return parts.scheme == "https" or (parts.scheme == "http" and parts.hostname in LOOPBACK)
