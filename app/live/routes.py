"""The WebSockets /live and /api/stream, and the rows that the page fetches to fill a gap."""

from __future__ import annotations

import re
import socket
import ssl
from dataclasses import dataclass

from flask import Blueprint, Flask, Response, current_app, g, request
from flask_sock import Sock
from simple_websocket import Server
from wsproto.utilities import RemoteProtocolError

from app.live.client import Client
from app.live.fragments import Fragments
from app.live.history import read_span
from app.live.session import PageSession, StreamSession
from app.live.socket import OutboundSocket
from app.problems import ProblemError, problem_response
from app.runtime import Runtime, runtime
from eventbus import Pattern
from eventbus.log import EventLog

RETRY_AFTER_S = 5
STRAY_MESSAGE_BYTES = 4096  # clients have nothing to tell us

_SOCKET_KEYS = ("gunicorn.socket", "werkzeug.socket")  # where the servers put the client's socket
_SEQUENCE = re.compile(r"[0-9]{1,18}")

blueprint = Blueprint("live", __name__)
sockets = Sock()


@dataclass(frozen=True, slots=True)
class Admission:
    """A WebSocket that may begin: what it wants, its place among ``max_sockets``, its socket."""

    pattern: Pattern
    after: int | None
    sock: OutboundSocket


def register(app: Flask) -> None:
    """Install the routes on ``app``; its runtime provides hub, log and settings."""
    parts: Runtime = app.extensions["eventbus"]
    app.config["SOCK_SERVER_OPTIONS"] = {
        "ping_interval": parts.settings.ping_every_s,
        "max_message_size": STRAY_MESSAGE_BYTES,
    }
    app.register_blueprint(blueprint)


@sockets.route("/live", bp=blueprint)
def page(ws: Server) -> None:
    """The live page's connection; ``boot`` is the start of the server that rendered the page."""
    hub, wanted = runtime().hub, _admission()
    after = hub.position if wanted.after is None else wanted.after
    client = Client(ws, wanted.sock, "page", wanted.pattern, after)
    fragments = Fragments(current_app.jinja_env)
    PageSession(hub, client, fragments, request.args.get("boot")).run()


@sockets.route("/api/stream", bp=blueprint)
def stream(ws: Server) -> None:
    """Every matching event after ``after`` (default: now), as JSON, without a hole."""
    hub, wanted = runtime().hub, _admission()
    after = hub.position if wanted.after is None else wanted.after
    StreamSession(hub, Client(ws, wanted.sock, "json", wanted.pattern, after)).run()


@blueprint.get("/live/rows")
def rows() -> Response:
    """Rows between two sequences, newest first: the newest 200, the rest as exact counts."""
    log = runtime().bus.log
    after = _sequence_argument("after", log) or 0
    upto = _sequence_argument("upto", log)
    if upto is None:
        upto = log.last_sequence
    if after > upto:
        raise ProblemError.parameter("after", f"must be at most upto ({upto}), not {after}")
    span = read_span(log, _pattern_argument(), after, upto)
    fragments = Fragments(current_app.jinja_env)
    return Response(
        fragments.rows(span.rows), mimetype="text/html", headers={"Cache-Control": "no-store"}
    )


@blueprint.before_request
def admit() -> None:
    """Refuse a WebSocket before its handshake, while an answer can still say why."""
    if request.endpoint not in ("live.page", "live.stream"):
        return
    parts = runtime()
    pattern, after = _pattern_argument(), _sequence_argument("after", parts.bus.log)
    sock = _client_socket()
    if not parts.hub.take_slot():
        raise _no_room(parts)
    g.holds_slot_of = parts.hub
    outbound = OutboundSocket(sock)
    for key in _SOCKET_KEYS:
        if key in request.environ:
            request.environ[key] = outbound
    g.admission = Admission(pattern, after, outbound)


@blueprint.teardown_request
def give_back_slot(_error: BaseException | None) -> None:
    """However the request ended: also when the handshake failed."""
    hub = g.pop("holds_slot_of", None)
    if hub is not None:
        hub.free_slot()


@blueprint.errorhandler(RemoteProtocolError)
def refuse_handshake(error: RemoteProtocolError) -> Response:
    """The request asked for an upgrade but is not a WebSocket handshake (RFC 6455 §4.2)."""
    return problem_response(ProblemError(400, "Bad WebSocket handshake", str(error)))


def _no_room(parts: Runtime) -> ProblemError:
    if parts.hub.is_closing:
        title, detail = "Not running", "the server is stopping"
    else:
        most = parts.settings.max_sockets
        title, detail = "Too many WebSockets", f"{most} are open, which is the most allowed"
    return ProblemError(503, title, detail, headers={"Retry-After": str(RETRY_AFTER_S)})


def _admission() -> Admission:
    admission: Admission = g.admission
    return admission


def _pattern_argument() -> Pattern:
    return Pattern(request.args.get("type") or "#")  # PatternError is answered with a 400


def _sequence_argument(name: str, log: EventLog) -> int | None:
    text = request.args.get(name)
    if text is None:
        return None
    if not _SEQUENCE.fullmatch(text):
        raise ProblemError.parameter(
            name, f"must be a sequence, a whole number that is not negative, not {text[:40]!r}"
        )
    if int(text) > log.last_sequence:
        raise ProblemError.parameter(
            name, f"must be at most {log.last_sequence}, the newest sequence, not {text}"
        )
    return int(text)


def _client_socket() -> socket.socket:
    for key in _SOCKET_KEYS:
        sock = request.environ.get(key)
        if isinstance(sock, ssl.SSLSocket):
            raise ProblemError(
                501, "Not Implemented", "WebSockets need TLS to end at a proxy before this server"
            )
        if isinstance(sock, socket.socket):
            return sock
    raise ProblemError(
        501, "Not Implemented", "this WSGI server does not lend its sockets to WebSockets"
    )
