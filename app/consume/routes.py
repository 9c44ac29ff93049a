"""The route /api/subscriptions/NAME/consume: who may consume, and the life of such a WebSocket."""

from __future__ import annotations

import logging
import re
import secrets
from dataclasses import dataclass

from flask import Blueprint, Flask, g, request
from simple_websocket import Server
from wsproto.utilities import RemoteProtocolError

from app.api import parameters
from app.consume.connection import INTERNAL_ERROR, VIOLATION, Connection
from app.live.admission import admit_socket, give_back_slot, refuse_handshake
from app.live.routes import sockets
from app.live.socket import OutboundSocket
from app.problems import ProblemError
from app.runtime import Runtime, runtime
from eventbus import Pattern
from eventbus.consumers import Terms
from eventbus.consumers.frames import parse
from eventbus.consumers.groups import CONFLICT, TRY_LATER, Seat
from eventbus.consumers.terms import MAX_PREFETCH
from eventbus.errors import ConsumerProtocolError, EventBusError, SubscriptionError
from eventbus.subscription import check_name
from eventbus.validation import shown

DEFAULT_PREFETCH = 16
MAX_TIMEOUT_S = 86_400.0
MAX_ATTEMPTS = 100

_ID = re.compile(r"[A-Za-z0-9_-]{8,64}")

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
def consume(ws: Server, name: str) -> None:
    """Handle events of the durable subscription ``name`` in another process."""
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
        parts.consumers.take(seat, parse(message, source, parts.settings.max_event_bytes))


@blueprint.before_request
def admit() -> None:
    """Refuse a WebSocket before its handshake, while an answer can still say why."""
    parts = runtime()
    name = (request.view_args or {}).get("name", "")
    try:
        check_name(name)
    except SubscriptionError as error:
        raise ProblemError.parameter("name", str(error)) from None
    terms = Terms(name, _pattern(), _attempts(), _timeout_s())
    consumer, prefetch = (
        _consumer(),
        parameters.whole("prefetch", DEFAULT_PREFETCH, low=1, high=MAX_PREFETCH),
    )
    try:
        parts.consumers.check(terms)
    except SubscriptionError as error:
        raise ProblemError(409, "Conflict", str(error)) from None
    g.wanted = Wanted(terms, consumer, prefetch, admit_socket(parts))


blueprint.teardown_request(give_back_slot)
blueprint.register_error_handler(RemoteProtocolError, refuse_handshake)


def _pattern() -> Pattern:
    pattern = parameters.pattern("type")
    if pattern is None:
        raise ProblemError.parameter("type", "is required: the pattern of the events to handle")
    return pattern


def _attempts() -> int | None:
    attempts: int | None = parameters.whole("max_attempts", None, low=1, high=MAX_ATTEMPTS)
    return attempts


def _timeout_s() -> float | None:
    if parameters.text("timeout") is None:
        return None
    return parameters.seconds("timeout", 0.0, MAX_TIMEOUT_S)


def _consumer() -> str:
    text = parameters.text("consumer")
    if text is None:
        return secrets.token_hex(16)
    if not _ID.fullmatch(text):
        raise ProblemError.parameter(
            "consumer", f"must be 8 to 64 letters, digits, _ or -, not {shown(text)}"
        )
    return text
