"""The WebSockets /live and /api/stream, and the rows that the page fetches to fill a gap."""

from __future__ import annotations

import re
from dataclasses import dataclass

from flask import Blueprint, Flask, Response, current_app, g, request
from flask_sock import Sock
from simple_websocket import Server
from wsproto.utilities import RemoteProtocolError

from app.live.admission import admit_socket, give_back_slot, refuse_handshake
from app.live.client import Client
from app.live.fragments import Fragments
from app.live.history import read_span
from app.live.session import PageSession, StreamSession
from app.live.socket import OutboundSocket
from app.openapi import kinds
from app.openapi.fields import Field
from app.openapi.operation import declared, operation
from app.problems import ProblemError
from app.runtime import Runtime, runtime
from eventbus import Pattern
from eventbus.lens import lens
from eventbus.log import EventLog
from eventbus.log.reach import reaches

STRAY_MESSAGE_BYTES = 4096  # clients have nothing to tell us

_SEQUENCE = re.compile(r"[0-9]{1,18}")

blueprint = Blueprint("live", __name__)
sockets = Sock()


@dataclass(frozen=True, slots=True)
class Wanted:
    """What a WebSocket that may begin wants, and its socket."""

    pattern: Pattern
    after: int | None
    sock: OutboundSocket


def register(app: Flask) -> None:
    """Install the routes on ``app``; its runtime provides hub, log and settings."""
    parts: Runtime = app.extensions["eventbus"]
    app.config["SOCK_SERVER_OPTIONS"] = {
        "ping_interval": parts.settings.ping_every_s,
        "max_message_size": STRAY_MESSAGE_BYTES,
        "thread_class": lambda target: g.reader.take(target),
    }
    app.register_blueprint(blueprint)


@sockets.route("/live", bp=blueprint)
def page(ws: Server) -> None:
    """The live page's connection; ``boot`` is the start of the server that rendered the page."""
    hub, wanted = runtime().hub, _wanted()
    after = hub.position if wanted.after is None else wanted.after
    client = Client(ws, wanted.sock, "page", wanted.pattern, after, lens())
    fragments = Fragments(current_app.jinja_env)
    PageSession(hub, client, fragments, request.args.get("boot")).run()


@sockets.route("/api/stream", bp=blueprint)
@operation(
    "streamEvents",
    "Streams",
    query=(
        Field("type", kinds.pattern(), "Only events that match.", example="evaluation.*"),
        Field("after", kinds.whole(high=10**18 - 1), "Begin after this sequence; now by default."),
    ),
    answers={101: None},
    problems={501: "The server cannot lend its socket."},
    is_socket=True,
)
def stream(ws: Server) -> None:
    """Every matching event, as JSON, without a hole: a WebSocket.

    Each text frame is `{"events": [...], "sequence": N}`, where N is the position in the log up to
    which the stream is complete, also when nothing matched. To go on after a lost connection, come
    back with `after=N`. What the client says is ignored.
    """
    hub, wanted = runtime().hub, _wanted()
    # The log's end, not the hub's: what was published before the request is not "from now on".
    after = hub.log.last_sequence if wanted.after is None else wanted.after
    StreamSession(hub, Client(ws, wanted.sock, "json", wanted.pattern, after, lens())).run()


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
    if said := declared(current_app.view_functions[request.endpoint]):
        said.check_query()
    parts = runtime()
    pattern, after = _pattern_argument(), _sequence_argument("after", parts.bus.log)
    g.wanted = Wanted(pattern, after, admit_socket(parts))


blueprint.teardown_request(give_back_slot)
blueprint.register_error_handler(RemoteProtocolError, refuse_handshake)


def _wanted() -> Wanted:
    wanted: Wanted = g.wanted
    return wanted


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
    if not reaches(log, int(text)):
        raise ProblemError.parameter(
            name, f"must be at most {log.last_sequence}, the newest sequence, not {text}"
        )
    return int(text)
