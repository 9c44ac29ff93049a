"""Who may open a WebSocket: its place among all of them, and a socket that never blocks."""

from __future__ import annotations

import socket
import ssl

from flask import Response, current_app, g, request
from wsproto.utilities import RemoteProtocolError

from app.access.guard import principal
from app.access.needs import need_of
from app.access.sockets import OpenSocket
from app.live.reader import Reader
from app.live.socket import OutboundSocket
from app.problems import ProblemError, problem_response
from app.runtime import Runtime
from eventbus.lens import lens

RETRY_AFTER_S = 5

_SOCKET_KEYS = ("gunicorn.socket", "werkzeug.socket")  # where the servers put the client's socket


def admit_socket(parts: Runtime) -> OutboundSocket:
    """Take a place for the WebSocket of this request and stand between it and its socket.

    To be called before the handshake, while an answer can still say why not. Raises ProblemError,
    NoThreadError.
    """
    sock = _client_socket()
    if not parts.hub.take_slot():
        raise _no_room(parts)
    g.holds_slot_of = parts.hub
    g.reader = Reader()
    outbound = OutboundSocket(sock)
    is_masked = lens() is not None
    opened = OpenSocket(principal(), need_of(request.endpoint), outbound, is_masked)
    if not parts.access.sockets.enter(opened):
        raise _too_many(parts)
    g.open_socket = opened
    for key in _SOCKET_KEYS:
        if key in request.environ:
            request.environ[key] = outbound
    return outbound


def give_back_slot(_error: BaseException | None) -> None:
    """However the request ended: also when the handshake failed."""
    reader = g.pop("reader", None)
    if reader is not None:
        reader.dismiss()
    opened = g.pop("open_socket", None)
    if opened is not None:
        # Not by runtime(), which would start it anew: a server that stops ends its sockets, too.
        current_app.extensions["eventbus"].access.sockets.leave(opened)
    hub = g.pop("holds_slot_of", None)
    if hub is not None:
        hub.free_slot()


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


def _too_many(parts: Runtime) -> ProblemError:
    most = parts.settings.max_sockets_per_user
    return ProblemError(
        429, "Too many WebSockets",
        f"{principal().shown} has {most} open, which is the most that one may have",
        headers={"Retry-After": str(RETRY_AFTER_S)},
    )  # fmt: skip


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
