"""The bus's ``POST /api/events`` as seen from a client: one kept connection, and its answers."""

from __future__ import annotations

import http.client
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

from eventbus.client.connection import Connection, described
from eventbus.cloudevents import BATCH_CONTENT_TYPE, encode_batch
from eventbus.errors import BusUnavailableError, SubscriptionError
from eventbus.event import Event
from eventbus.scheduled import ScheduledEvent

PATH = "/api/events"

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

    def __init__(self, url: str, timeout_s: float, token: str | None = None) -> None:
        """``url``, ``timeout_s`` and ``token`` as of a Connection. Raises ValueError."""
        self._connection = Connection(url, timeout_s, token)

    def post(self, events: Sequence[Event]) -> Outcome:
        """Send one batch and read the answer; does not raise for anything that a network does."""
        headers = {"Content-Type": BATCH_CONTENT_TYPE, "Accept": "application/json"}
        try:
            # Sent twice, perhaps; ids make this harmless.
            reply = self._connection.exchange("POST", PATH, encode_batch(events), headers)
        except (OSError, http.client.HTTPException) as error:
            return Unavailable(described(error))
        return _judged(reply.status, reply.headers, reply.content, events)

    def delete(self, path: str) -> str | None:
        """Delete what is at ``path``; returns why the bus will not, None when it is not there now.

        Raises BusUnavailableError.
        """
        try:
            reply = self._connection.exchange("DELETE", path)
        except (OSError, http.client.HTTPException) as error:
            raise BusUnavailableError(f"the bus cannot be asked: {described(error)}") from error
        finally:
            self._connection.close()
        if 200 <= reply.status < 300:
            return None
        problem = problem_of(reply.content)
        if reply.status == 404 and problem.get("status") == 404:
            return None  # a bus says so, and not whatever else may be at this address
        reason = f"it answered {reply.status}: {problem['detail'] or reply.reason}"
        if reply.status >= 500 or reply.status in _NOT_ABOUT_EVENTS - {404}:
            raise BusUnavailableError(reason)
        return reason

    def abort(self) -> None:
        """Break off what is being sent or waited for."""
        self._connection.abort()


def delete_subscription(url: str, name: str, timeout_s: float, token: str | None = None) -> None:
    """End a durable subscription at the bus, whoever serves it.

    Raises SubscriptionError, BusUnavailableError.
    """
    path = f"/api/subscriptions/{quote(name, safe='')}?force=true"
    reason = Endpoint(url, timeout_s, token).delete(path)
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
    problem = problem_of(content)
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


def problem_of(content: bytes) -> dict[str, Any]:
    """The members of a JSON answer, and the ``detail`` of a problem document (RFC 9457)."""
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
