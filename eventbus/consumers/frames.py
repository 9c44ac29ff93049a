"""The messages between the bus and a consumer: JSON objects, one per WebSocket text message."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from eventbus.actor import name_problem
from eventbus.cancels import Cancel
from eventbus.errors import (
    ConsumerProtocolError,
    EventValidationError,
    FieldError,
    RemoteHandlerError,
    RemoteRejectError,
    RemoteRetryLaterError,
)
from eventbus.event import Event
from eventbus.scheduled import read_event
from eventbus.validation import check_attribute, encode_json, shown

MAX_CANCELS = 1_000


@dataclass(frozen=True, slots=True)
class Answer:
    """How the handling of a delivery ended: events to publish and schedules to take back with its
    success, or an error."""

    delivery: int
    events: tuple[Event, ...] = ()
    error: Exception | None = None
    cancels: tuple[Cancel, ...] = ()


@dataclass(frozen=True, slots=True)
class Leave:
    """The consumer takes no more; what it holds it will still answer."""


def ready_frame(subscription: str, prefetch: int, session: str, held: Iterable[int]) -> str:
    """The first message: the consumer serves the subscription from now on.

    ``held`` are the deliveries of this session that it has not answered; they follow.
    """
    return encode_json({
        "ready": subscription, "prefetch": prefetch, "session": session, "held": list(held),
    })  # fmt: skip


def delivery_frame(delivery: int, event: Event) -> str:
    """An event to handle."""
    return f'{{"delivery":{delivery},"event":{event.to_json()}}}'


def cancel_frame(delivery: int) -> str:
    """The time for this delivery is up: stop, and answer when it has ended."""
    return f'{{"cancel":{delivery}}}'


def settled_frame(deliveries: Iterable[int]) -> str:
    """What was answered for these is in the log; they will not be asked for again."""
    return encode_json({"settled": list(deliveries)})


def parse(text: str | bytes, source: str, max_event_bytes: int) -> Answer | Leave:
    """A message of a consumer; ``source`` is that of its events without one.

    Raises ConsumerProtocolError for what is no such message. An event that breaks the rules of
    the envelope is an error of the delivery, as it would be in a handler.
    """
    try:
        message = json.loads(text)
    except (ValueError, RecursionError):
        raise ConsumerProtocolError("a message must be a JSON object") from None
    if not isinstance(message, Mapping):
        raise ConsumerProtocolError(f"a message must be a JSON object, not {shown(message)}")
    match message:
        case {"leave": True}:
            return Leave()
        case {"ack": int(delivery)} if not isinstance(message["ack"], bool):
            return _ack(delivery, message, source, max_event_bytes)
        case {"nack": int(delivery)} if not isinstance(message["nack"], bool):
            return Answer(delivery, error=_error(message))
    keys = ", ".join(shown(key) for key in list(message)[:5]) or "nothing"
    raise ConsumerProtocolError(
        f"a message must have ack or nack with the number of a delivery, or leave, not {keys}"
    )


def _ack(delivery: int, message: Mapping[str, Any], source: str, max_event_bytes: int) -> Answer:
    items = message.get("events", [])
    if not isinstance(items, list):
        raise ConsumerProtocolError(f"events must be an array, not {shown(items)}")
    events: list[Event] = []
    errors: list[FieldError] = []
    for index, item in enumerate(items):
        try:
            events.append(read_event(item, source=source, max_bytes=max_event_bytes))
        except EventValidationError as error:
            errors += error.under(f"/events/{index}").errors
    cancels = tuple(_cancels(message.get("cancels", []), len(events), errors))
    if errors:
        return Answer(delivery, error=EventValidationError(errors[:20]))
    return Answer(delivery, tuple(events), cancels=cancels)


def _cancels(items: Any, event_count: int, errors: list[FieldError]) -> Iterator[Cancel]:
    if not isinstance(items, list) or len(items) > MAX_CANCELS:
        raise ConsumerProtocolError(f"cancels must be an array of at most {MAX_CANCELS}")
    before = 0
    for index, item in enumerate(items):
        if not isinstance(item, Mapping):
            raise ConsumerProtocolError(f"cancels must hold objects, not {shown(item)}")
        id, source, by = item.get("id"), item.get("source"), item.get("by")
        after = item.get("after", event_count)
        wrong: list[FieldError] = []
        check_attribute("id", id, wrong)
        if source is not None:
            check_attribute("source", source, wrong)
        if by is not None and (problem := name_problem(by)):
            wrong.append(FieldError("/by", problem))
        if type(after) is not int or not before <= after <= event_count:
            rule = f"must be from {before} to {event_count}, in the order of cancels"
            wrong.append(FieldError("/after", f"{rule}, not {shown(after)}"))
        errors += [FieldError(f"/cancels/{index}{e.pointer}", e.detail) for e in wrong]
        if not wrong and isinstance(id, str):
            before = after
            yield Cancel(id, source, by, after)


def _error(message: Mapping[str, Any]) -> Exception:
    told = message.get("error")
    if not isinstance(told, Mapping):
        raise ConsumerProtocolError(f"a nack must have an error object, not {shown(told)}")
    texts = []
    for name, default in (("class", "Exception"), ("message", ""), ("traceback", "")):
        value = told.get(name, default)
        if not isinstance(value, str):
            raise ConsumerProtocolError(f"error.{name} must be text, not {shown(value)}")
        texts.append(value)
    is_final = message.get("reject", False)
    if not isinstance(is_final, bool):
        raise ConsumerProtocolError(f"reject must be true or false, not {shown(is_final)}")
    if is_final:
        return RemoteRejectError(*texts)
    after_s = message.get("retry_after")
    if after_s is None:
        return RemoteHandlerError(*texts)
    if not isinstance(after_s, int | float) or isinstance(after_s, bool) or not after_s >= 0:
        raise ConsumerProtocolError(f"retry_after must be seconds from 0, not {shown(after_s)}")
    kind, said, trace = texts
    return RemoteRetryLaterError(kind, said, trace, after_s)
