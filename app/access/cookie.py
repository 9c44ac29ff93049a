"""The cookie that carries a session: what it is called, and with which attributes it is set."""

from __future__ import annotations

from typing import TYPE_CHECKING

from flask import request
from werkzeug.wrappers import Response

from app.runtime import runtime

if TYPE_CHECKING:
    from wsgiref.types import WSGIEnvironment

NAME = "eventbus_session"


def session_secret() -> str | None:
    """The secret in the request's cookie."""
    return request.cookies.get(_name(request.environ, _is_secure()))


def set_session(response: Response, secret: str) -> None:
    """Give the browser a session, until it is closed or the server ends it."""
    is_secure = _is_secure()
    response.set_cookie(
        _name(request.environ, is_secure), secret,
        path="/", secure=is_secure, httponly=True, samesite="Lax",
        max_age=int(runtime().settings.session_max_s),
    )  # fmt: skip


def drop_session(response: Response) -> None:
    """Have the browser forget it."""
    is_secure = _is_secure()
    response.delete_cookie(
        _name(request.environ, is_secure), path="/", secure=is_secure, httponly=True, samesite="Lax"
    )


def _is_secure() -> bool:
    """Whether the browser speaks TLS, perhaps to a trusted proxy (app/proxies.py)."""
    return request.environ.get("wsgi.url_scheme") == "https"


def _name(environ: WSGIEnvironment, is_secure: bool) -> str:
    """Cookies do not tell ports apart, so that two servers of one machine would share theirs.

    The prefix has browsers take it from an encrypted answer of this very host alone (RFC 6265bis
    §4.1.3.2).
    """
    port = environ.get("HTTP_HOST", "").rpartition(":")[2]
    name = f"{NAME}_{port}" if port.isdecimal() else NAME
    return f"__Host-{name}" if is_secure else name
