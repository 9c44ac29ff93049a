"""The route /api/subscriptions/NAME/consume: who may consume, and the life of such a WebSocket."""

from __future__ import annotations

import logging
import secrets
from dataclasses import dataclass, replace

from flask import Blueprint, Flask, current_app, g, request
from simple_websocket import Server
from wsproto.utilities import RemoteProtocolError

from app.access.audit import AUDIT_TYPES
from app.access.guard import actor
from app.access.publishing import check_cancel, check_types, in_own_name
from app.consume.connection import INTERNAL_ERROR, VIOLATION, Connection
from app.live.admission import admit_socket, give_back_slot, refuse_handshake
from app.live.routes import sockets
from app.live.socket import OutboundSocket
from app.openapi import kinds
from app.openapi.fields import Field
from app.openapi.operation import declared, operation
from app.problems import ProblemError
from app.runtime import Runtime, runtime
from eventbus.consumers import Terms
from eventbus.consumers.frames import Answer, parse
from eventbus.consumers.groups import CONFLICT, TRY_LATER, Seat
from eventbus.consumers.terms import MAX_PREFETCH
from eventbus.errors import (
    ConsumerProtocolError,
    EventBusError,
    EventValidationError,
    SubscriptionError,
)
from eventbus.subscription import check_name

DEFAULT_PREFETCH = 16
MAX_TIMEOUT_S = 86_400.0
MAX_ATTEMPTS = 100

_NAME = Field("name", kinds.text(255), "The name of the subscription.", example="report-writer")
_TYPE = Field(
    "type", kinds.pattern(), "the pattern of the events to handle", is_needed=True,
    example="evaluation.*",
)  # fmt: skip
_PREFETCH = Field(
    "prefetch", kinds.whole(1, MAX_PREFETCH), "So many events are handled at once.",
    default=DEFAULT_PREFETCH,
)  # fmt: skip
_ATTEMPTS = Field("max_attempts", kinds.whole(1, MAX_ATTEMPTS), "After so many, a dead letter.")
_TIMEOUT = Field(
    "timeout", kinds.number(0, MAX_TIMEOUT_S, "seconds"), "So many seconds an attempt may take."
)
_CONSUMER = Field(
    "consumer", kinds.matching("[A-Za-z0-9_-]{8,64}", "8 to 64 letters, digits, _ or -"),
    "Random and yours alone; come back with the same one after a lost connection.",
)  # fmt: skip

blueprint = Blueprint("consume", __name__)
log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Wanted:
    """A consumer that may begin: what it wants to serve, who it is, its socket."""

    terms: Terms
    consumer: str
    prefetch: int
    sock: OutboundSocket


def register(app: Flask) -> None:
    """Install the route on ``app``; its runtime provides the consumer groups."""
    app.register_blueprint(blueprint)


@sockets.route("/api/subscriptions/<path:name>/consume", bp=blueprint)
@operation(
    "consumeEvents",
    "Streams",
    path=(_NAME,),
    query=(_TYPE, _PREFETCH, _ATTEMPTS, _TIMEOUT, _CONSUMER),
    answers={101: None},
    problems={409: "The name is taken, or the terms differ.", 501: "No socket can be lent."},
    is_socket=True,
)
def consume(ws: Server, name: str) -> None:
    """Handle events of a durable subscription in another process: a WebSocket.

    The frames, in both directions, are in docs/remote.md. `RemoteEventBus` speaks them.
    """
    wanted: Wanted = g.wanted
    parts = runtime()
    max_chars = parts.settings.max_body_bytes
    connection = Connection(ws, wanted.sock, wanted.prefetch, max_chars)
    seat: Seat | None = None
    try:
        seat = parts.consumers.join(wanted.terms, wanted.consumer, wanted.prefetch, connection)
        _listen(parts, seat, connection)
    except ConsumerProtocolError as error:
        connection.end(VIOLATION, str(error))
    except SubscriptionError as error:
        connection.end(CONFLICT, str(error))
    except EventBusError as error:
        connection.end(TRY_LATER, str(error))
    except Exception:
        # An answer cannot be made out of it: this connection speaks WebSocket by now.
        log.exception("serving a consumer failed")
        connection.end(INTERNAL_ERROR, "internal error")
    finally:
        if seat is not None:
            parts.consumers.part(seat, connection.is_orderly)
        connection.close()


def _listen(parts: Runtime, seat: Seat, connection: Connection) -> None:
    source = f"/handlers/{seat.group.terms.name}"
    for message in connection.messages():
        said = parse(message, source, parts.settings.max_event_bytes)
        if isinstance(said, Answer) and any(event.type in AUDIT_TYPES for event in said.events):
            raise ConsumerProtocolError("events of the audit trail are the server's own")
        parts.consumers.take(seat, _admitted(said) if isinstance(said, Answer) else said)


def _admitted(answer: Answer) -> Answer:
    """With its events as they may be published; what may not be is the handler's failure."""
    try:
        check_types(answer.events)
        for each in answer.cancels:
            check_cancel(each.id, each.source)
        cancels = tuple(replace(each, by=actor(each.by or "") or None) for each in answer.cancels)
        events = tuple(in_own_name(answer.events, is_batch=True))
        return replace(answer, events=events, cancels=cancels)
    except ProblemError as refused:
        error = refused.as_validation()
    except EventValidationError as invalid:
        error = invalid
    return Answer(answer.delivery, error=error.under("/events"))


@blueprint.before_request
def admit() -> None:
    """Refuse a WebSocket before its handshake, while an answer can still say why."""
    parts = runtime()
    name = (request.view_args or {}).get("name", "")
    try:
        check_name(name)
    except SubscriptionError as error:
        raise ProblemError.parameter("name", str(error)) from None
    if said := declared(current_app.view_functions[request.endpoint or ""]):
        said.check_query()
    terms = Terms(name, _TYPE.read(), _ATTEMPTS.read(), _TIMEOUT.read())
    consumer, prefetch = _CONSUMER.read() or secrets.token_hex(16), _PREFETCH.read()
    try:
        parts.consumers.check(terms)
    except SubscriptionError as error:
        raise ProblemError(409, "Conflict", str(error)) from None
    g.wanted = Wanted(terms, consumer, prefetch, admit_socket(parts))


blueprint.teardown_request(give_back_slot)
blueprint.register_error_handler(RemoteProtocolError, refuse_handshake)
