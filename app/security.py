"""What every request and answer has to pass: known host, same origin, strict headers."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from flask import Flask, Response, request

from app.config import Settings
from app.problems import ProblemError

if TYPE_CHECKING:
    from wsgiref.types import StartResponse, WSGIApplication, WSGIEnvironment

    Headers = list[tuple[str, str]]

SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})
_DISCARDED_BYTES = 64 * 1024 * 1024
_DISCARDING_S = 5.0

# No inline script or style and no eval, so that text which slips through somewhere stays text.
CONTENT_SECURITY_POLICY = "; ".join(
    (
        "default-src 'self'",
        "script-src 'self'",
        "style-src 'self'",
        "img-src 'self' data:",
        "connect-src 'self'",
        "object-src 'none'",
        "base-uri 'none'",
        "form-action 'self'",
        "frame-ancestors 'none'",
    )
)
PAGE_HEADERS = [
    ("Content-Security-Policy", CONTENT_SECURITY_POLICY),
    ("X-Content-Type-Options", "nosniff"),
    ("Referrer-Policy", "same-origin"),
    ("Cross-Origin-Opener-Policy", "same-origin"),
    ("Cross-Origin-Resource-Policy", "same-origin"),
]
API_HEADERS = [*PAGE_HEADERS, ("Cache-Control", "no-store")]


def register(app: Flask, settings: Settings) -> None:
    """Check every request of ``app`` and set the headers of every answer."""
    app.config["MAX_CONTENT_LENGTH"] = settings.max_body_bytes
    app.config["MAX_FORM_MEMORY_SIZE"] = settings.max_body_bytes
    app.config["SESSION_COOKIE_SAMESITE"] = "Lax"

    @app.before_request
    def check_request() -> None:
        environ = request.environ  # every request passes here: straight from the source
        is_websocket = environ.get("HTTP_UPGRADE", "").lower() == "websocket"
        host = environ.get("HTTP_HOST", "").lower()
        if settings.allowed_hosts:
            _check_host(host, settings.allowed_hosts)
        if is_websocket or environ["REQUEST_METHOD"] not in SAFE_METHODS:
            _check_origin(environ, host)
        if not is_websocket:
            _bound_waiting(environ, settings.read_timeout_s)

    @app.after_request
    def make_readable(response: Response) -> Response:
        if response.status_code == 413:
            _discard_body()
        return response

    app.wsgi_app = _with_headers(app.wsgi_app)  # type: ignore[method-assign, assignment]


def _with_headers(application: WSGIApplication) -> WSGIApplication:
    """Add the headers to every answer; here, since Flask's own way costs a tenth of a request."""

    def serve(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        is_api = environ["PATH_INFO"].startswith("/api")

        def start(status: str, headers: Headers, exc_info: Any = None) -> Callable[..., Any]:
            headers.extend(API_HEADERS if is_api else PAGE_HEADERS)
            return start_response(status, headers, exc_info)

        return application(environ, start)

    return serve


def _check_host(host: str, allowed: tuple[str, ...]) -> None:
    """Refuse names that are not ours: a page of another site may have pointed its name at us."""
    name = host[: host.find("]") + 1] if host.startswith("[") else host.partition(":")[0]
    for known in allowed:
        if name == known or (known.startswith(".") and name.endswith(known)):
            return
    raise ProblemError(
        421,
        "Misdirected Request",
        f"this server does not answer to the host {name[:100]!r}; its names are in "
        "EVENTBUS_ALLOWED_HOSTS",
    )


def _check_origin(environ: WSGIEnvironment, host: str) -> None:
    """Refuse what a page of another site sends; programs send neither of these headers."""
    origin = environ.get("HTTP_ORIGIN")
    if origin is not None:
        try:
            is_ours = urlsplit(origin).netloc.lower() == host
        except ValueError:  # a bracket that is not an IPv6 address
            is_ours = False
        if not is_ours:
            raise ProblemError(
                403, "Other origin", f"requests from pages of {origin[:100]!r} are not accepted"
            )
    elif environ.get("HTTP_SEC_FETCH_SITE", "none") not in ("none", "same-origin"):
        raise ProblemError(403, "Other origin", "requests from pages of other sites are refused")


def _bound_waiting(environ: WSGIEnvironment, timeout_s: float) -> None:
    """Let no client hold a thread by sending less than it announced, or by not reading."""
    client = environ.get("gunicorn.socket")
    if client is not None:
        client.settimeout(timeout_s)


def _discard_body() -> None:
    """Take in a body that was refused, so that a client that is still sending sees the answer."""
    if not request.environ.get("wsgi.input_terminated"):
        return  # reading on would wait for a next request
    stream = request.environ["wsgi.input"]
    deadline = time.monotonic() + _DISCARDING_S
    left = _DISCARDED_BYTES
    try:
        while left > 0 and time.monotonic() < deadline and (data := stream.read(65_536)):
            left -= len(data)
    except (OSError, ValueError):
        return  # the client went away, or stopped sending
