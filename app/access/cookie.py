"""The cookies, of a session and of an attempt to get one: how they are called and set."""

from __future__ import annotations

from typing import TYPE_CHECKING

from flask import request
from werkzeug.wrappers import Response

from app.runtime import runtime

if TYPE_CHECKING:
    from wsgiref.types import WSGIEnvironment

NAME = "eventbus_session"
ATTEMPT = "eventbus_login_"
_MOST_ATTEMPTS = 5  # each is kept for minutes only, and sent with every request until then


def session_secret() -> str | None:
    """The secret in the request's cookie."""
    return request.cookies.get(_name(NAME, request.environ, _is_secure()))


def set_session(response: Response, secret: str) -> None:
    """Give the browser a session, until it is closed or the server ends it."""
    _set(response, NAME, secret, runtime().settings.session_max_s)


def drop_session(response: Response) -> None:
    """Have the browser forget it."""
    _drop(response, NAME)


def attempt_cookie(id: str) -> str | None:
    """What the browser keeps of an attempt to sign in by a provider."""
    return request.cookies.get(_name(ATTEMPT + id, request.environ, _is_secure()))


def set_attempt(response: Response, id: str, text: str, max_age_s: float) -> None:
    """Have the browser keep an attempt, and forget the others when there are many."""
    others = [name for name in request.cookies if name.removeprefix("__Host-").startswith(ATTEMPT)]
    if len(others) >= _MOST_ATTEMPTS:
        for name in others:
            _drop_named(response, name)
    _set(response, ATTEMPT + id, text, max_age_s)


def drop_attempt(response: Response, id: str) -> None:
    """Have the browser forget an attempt."""
    _drop(response, ATTEMPT + id)


def _set(response: Response, base: str, text: str, max_age_s: float) -> None:
    is_secure = _is_secure()
    response.set_cookie(
        _name(base, request.environ, is_secure), text,
        path="/", secure=is_secure, httponly=True, samesite="Lax", max_age=int(max_age_s),
    )  # fmt: skip


def _drop(response: Response, base: str) -> None:
    _drop_named(response, _name(base, request.environ, _is_secure()))


def _drop_named(response: Response, name: str) -> None:
    response.delete_cookie(name, path="/", secure=_is_secure(), httponly=True, samesite="Lax")


def _is_secure() -> bool:
    """Whether the browser speaks TLS, perhaps to a trusted proxy (app/proxies.py)."""
    return request.environ.get("wsgi.url_scheme") == "https"


def _name(base: str, environ: WSGIEnvironment, is_secure: bool) -> str:
    """Cookies do not tell ports apart, so that two servers of one machine would share theirs.

    The prefix has browsers take it from an encrypted answer of this very host alone (RFC 6265bis
    §4.1.3.2).
    """
    port = environ.get("HTTP_HOST", "").rpartition(":")[2]
    name = f"{base}_{port}" if port.isdecimal() else base
    return f"__Host-{name}" if is_secure else name
