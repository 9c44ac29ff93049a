"""The bus's ``POST /api/events`` as seen from a client: one kept connection, and its answers."""

from __future__ import annotations

import http.client
import json
import re
import socket
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote, urlsplit

from eventbus.cloudevents import BATCH_CONTENT_TYPE, encode_batch
from eventbus.errors import BusUnavailableError, SubscriptionError
from eventbus.event import Event
from eventbus.scheduled import ScheduledEvent

PATH = "/api/events"
MAX_ANSWER_BYTES = 4 * 1024 * 1024

# 4xx that speak about the caller, the address or the moment, not about the events: these will be
# taken once somebody has put it right, so they are kept (RFC 9110 §15.5, RFC 6585).
_NOT_ABOUT_EVENTS = frozenset({401, 402, 403, 404, 405, 407, 408, 421, 425, 426, 429, 451, 511})
_INDEX = re.compile(r"/(\d+)(/|$)")


@dataclass(frozen=True, slots=True)
class Accepted:
    """The bus has recorded the events; these, with their sequences."""

    events: list[Event]


@dataclass(frozen=True, slots=True)
class Refused:
    """The bus will never take this batch; ``culprits`` maps the index of an event to the reason.

    It may name none, when the answer does not tell which events are wrong.
    """

    reason: str
    culprits: dict[int, str]


@dataclass(frozen=True, slots=True)
class Unavailable:
    """The bus cannot take the batch now; ``retry_after_s`` is when it wants to be asked again."""

    reason: str
    retry_after_s: float = 0.0


Outcome = Accepted | Refused | Unavailable


class Endpoint:
    """Posts batches; belongs to one thread, only ``abort`` may be called from others."""

    def __init__(self, url: str, timeout_s: float) -> None:
        """``url`` is the bus's address, like ``http://127.0.0.1:8000``. Raises ValueError."""
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
        self._path = self._base + PATH

    def post(self, events: Sequence[Event]) -> Outcome:
        """Send one batch and read the answer; does not raise for anything that a network does."""
        body = encode_batch(events)
        was_open = self._connection.sock is not None
        try:
            try:
                status, headers, content = self._exchange(body)
            except (ConnectionError, http.client.BadStatusLine):
                if not was_open:
                    raise
                # A kept connection that the server has closed meanwhile; ids make this harmless.
                status, headers, content = self._exchange(body)
        except (OSError, http.client.HTTPException) as error:
            return Unavailable(_described(error))
        return _judged(status, headers, content, events)

    def delete(self, path: str) -> str | None:
        """Delete what is at ``path``; returns why the bus will not, None when it is done.

        Raises BusUnavailableError.
        """
        try:
            self._connection.request("DELETE", self._base + path)
            response = self._connection.getresponse()
            content = response.read(MAX_ANSWER_BYTES)
        except (OSError, http.client.HTTPException) as error:
            raise BusUnavailableError(f"the bus cannot be asked: {_described(error)}") from error
        finally:
            self._connection.close()
        if 200 <= response.status < 300:
            return None
        problem = _problem(content)
        reason = f"it answered {response.status}: {problem['detail'] or response.reason}"
        if response.status >= 500 or response.status in _NOT_ABOUT_EVENTS - {404}:
            raise BusUnavailableError(reason)
        return reason

    def abort(self) -> None:
        """Break off what is being sent or waited for."""
        sock = self._connection.sock
        if sock is not None:
            with suppress(OSError):  # not connected any more: that is what was wanted
                sock.shutdown(socket.SHUT_RDWR)  # unlike close, it wakes a blocked reader

    def _exchange(self, body: bytes) -> tuple[int, Mapping[str, str], bytes]:
        try:
            headers = {"Content-Type": BATCH_CONTENT_TYPE, "Accept": "application/json"}
            self._connection.request("POST", self._path, body, headers)
            response = self._connection.getresponse()
            content = response.read(MAX_ANSWER_BYTES)
            if response.length:  # more than any answer of a bus: not read to its end
                self._connection.close()
            fields = {name.lower(): value for name, value in response.getheaders()}
            return response.status, fields, content
        except BaseException:
            self._connection.close()
            raise


def delete_subscription(url: str, name: str, timeout_s: float) -> None:
    """End a durable subscription at the bus. Raises SubscriptionError, BusUnavailableError."""
    reason = Endpoint(url, timeout_s).delete(f"/api/subscriptions/{quote(name, safe='')}")
    if reason is not None:
        raise SubscriptionError(f"the subscription {name!r} was not ended: {reason}")


def _judged(
    status: int, headers: Mapping[str, str], content: bytes, events: Sequence[Event]
) -> Outcome:
    if 200 <= status < 300:
        recorded = _recorded(content, events)
        if recorded is None:
            return Unavailable(f"it answered {status}, but not as an event bus does")
        return Accepted(recorded)
    problem = _problem(content)
    reason = f"it answered {status}" + (f": {problem['detail']}" if problem.get("detail") else "")
    if 400 <= status < 500 and status not in _NOT_ABOUT_EVENTS:
        return Refused(reason, _culprits(problem, len(events)))
    return Unavailable(reason, _seconds(headers.get("retry-after", "")))


def _recorded(content: bytes, events: Sequence[Event]) -> list[Event] | None:
    """The events with their sequences or due times; None when this is no answer to them.

    Anything may answer 200 at a wrong address; only a bus confirms each event by its id.
    """
    answers = _json_object(content).get("events")
    if not isinstance(answers, list) or len(answers) != len(events):
        return None
    recorded = []
    for event, entry in zip(events, answers, strict=True):
        if not isinstance(entry, dict) or entry.get("id") != event.id:
            return None
        sequence, at = entry.get("sequence"), entry.get("at")
        if isinstance(sequence, int):
            recorded.append(event.evolve(sequence=sequence))
        elif isinstance(at, str):
            recorded.append(ScheduledEvent.of(event, at=at))
        else:
            return None
    return recorded


def _culprits(problem: Mapping[str, Any], count: int) -> dict[int, str]:
    """The events that a problem document (RFC 9457) names by pointers like ``/3/data/x``."""
    found: dict[int, str] = {}
    errors = problem.get("errors")
    for error in errors if isinstance(errors, list) else ():
        pointer = error.get("pointer") if isinstance(error, dict) else None
        match = _INDEX.match(pointer) if isinstance(pointer, str) else None
        if match is not None and int(match[1]) < count:
            found.setdefault(int(match[1]), f"{pointer}: {error.get('detail')}"[:500])
    return found


def _problem(content: bytes) -> dict[str, Any]:
    problem = _json_object(content)
    detail = problem.get("detail") or problem.get("title")
    return {**problem, "detail": str(detail)[:500] if detail else None}


def _json_object(content: bytes) -> dict[str, Any]:
    try:
        value = json.loads(content)
    except (ValueError, RecursionError):
        return {}
    return value if isinstance(value, dict) else {}


def _seconds(retry_after: str) -> float:
    """RFC 9110 §10.2.3; a date instead of seconds is left to the backoff."""
    return float(retry_after) if re.fullmatch(r"\d{1,6}", retry_after) else 0.0


def _described(error: Exception) -> str:
    if isinstance(error, TimeoutError):
        return "it did not answer in time"
    return str(error) or type(error).__name__


def _without_secrets(url: str) -> str:
    return re.sub(r"//[^/@]*@", "//***@", url)[:200]
