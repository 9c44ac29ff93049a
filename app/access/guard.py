"""The guard: the one place where it is decided whether a request may go on, and in whose name."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from urllib.parse import quote, urlsplit

from flask import Flask, g, redirect, request
from flask import Response as FlaskResponse

from app.access.access import Access
from app.access.cookie import session_secret
from app.access.needs import need_of
from app.access.principal import EVERYBODY, NOBODY, Principal
from app.access.scopes import Need, role_for
from app.problems import ProblemError, wants_page
from app.runtime import Runtime, runtime
from eventbus.actor import Actor
from eventbus.lens import lens, look_through, parts

if TYPE_CHECKING:
    from wsgiref.types import WSGIEnvironment

    from werkzeug.wrappers import Response

REALM = 'Bearer realm="eventbus"'
SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})


def register(app: Flask) -> None:
    """Check every request of ``app``; templates know who asks."""

    @app.before_request
    def check_access() -> Response | None:
        endpoint = request.endpoint
        if endpoint == "static":
            return None
        parts = runtime()
        access = parts.access
        if access.is_guarded:
            need = need_of(endpoint)
            if request.method == "OPTIONS" and need != "open":
                need = "signed-in"  # it tells no more than which methods there are
            return _check(access, need)
        if access.limiter is not None:
            _count(access, EVERYBODY)
        return None

    settings = app.extensions["eventbus"].settings
    if settings.mask:
        _register_mask(app)

    @app.context_processor
    def who_asks() -> dict[str, Any]:
        known = principal()
        return {
            "principal": known,
            "rights": " ".join(sorted(known.scopes)),
            "is_masked": lens() is not None,
        }


def _register_mask(app: Flask) -> None:
    """Have every request read through what its sender may see, from here to the answer's end.

    Remote consumers handle events, for which they need all of them: their tokens are made for it.
    """

    @app.before_request
    def put_on_mask() -> None:
        known: Principal | None = g.get("principal")
        mask = None if known is None else runtime().access.mask_for(known)
        if mask is not None and need_of(request.endpoint) == "consume":
            if known is not None and known.kind == "user":
                raise ProblemError(
                    403, "Forbidden",
                    f"who handles events sees all of them, and {known.role}s do not "
                    "(EVENTBUS_MASK_BELOW); a token with the scope consume does",
                )  # fmt: skip
            mask = None
        look_through(mask)

    @app.after_request
    def keep_mask(response: FlaskResponse) -> FlaskResponse:
        mask = lens()
        if mask is not None and response.is_streamed:  # it is made after the request has ended
            response.response = parts(mask, response.response)
        return response

    @app.teardown_request
    def take_off_mask(_error: BaseException | None) -> None:
        look_through(None)


def principal() -> Principal:
    """Who makes the current request."""
    found: Principal | None = g.get("principal")
    if found is None:
        parts: Runtime = runtime()
        found = NOBODY if parts.access.is_guarded else EVERYBODY
    return found


def actor(claimed: str) -> Actor:
    """In whose name the current request changes something, and from where.

    Somebody who has signed in has the name that they signed in with, whatever they say. A token
    and the command line may say for whom they act; where nobody signs in it is all there is.
    """
    known = principal()
    if known.kind in ("everybody", "nobody"):
        return Actor(claimed)
    address = address_of_request()
    if known.kind == "user":
        return Actor(known.name, address)
    if known.kind == "local":
        return Actor(claimed or known.name, known.name)
    return Actor(f"{claimed} ({known.shown})" if claimed else known.shown, address)


def address_of_request() -> str:
    """Where the current request comes from, as trusted proxies tell it (app/proxies.py)."""
    return request.remote_addr or "unknown"


def _check(access: Access, need: Need) -> Response | None:
    known = _identified(access, request.environ)
    g.principal = known
    if access.limiter is not None:
        _count(access, known)
    if known.may(need):
        return None
    if known is not NOBODY:
        raise _forbidden(known, need)
    if request.headers.get("HX-Request") == "true":  # a part of a page: the whole page goes
        raise unauthorized("sign in again", page=_login_at(request.headers.get("HX-Current-URL")))
    if not wants_page():
        raise unauthorized("who asks? Send a token: Authorization: Bearer evb_...")
    is_get = request.method in SAFE_METHODS
    return redirect(_login_at(request.full_path if is_get else request.referrer), 303)


def _login_at(url: str | None) -> str:
    """The login page that leads on to where somebody is."""
    try:
        parts = urlsplit(url or "/")
    except ValueError:
        return "/login"
    back = f"{parts.path}?{parts.query}" if parts.query else parts.path
    return "/login" if back in ("", "/") else f"/login?next={quote(back)}"


def _identified(access: Access, environ: WSGIEnvironment) -> Principal:
    """Who asks; a token that is there decides alone, also when it is wrong."""
    authorization = environ.get("HTTP_AUTHORIZATION")
    if authorization is not None:
        scheme, _, secret = authorization.partition(" ")
        found = access.directory.of_token(secret.strip()) if scheme.lower() == "bearer" else None
        if found is None:
            raise unauthorized(
                "the token is not known here: it may be revoked, expired or of another server",
                f'{REALM}, error="invalid_token"',
            )
        return found
    secret = session_secret() if "HTTP_COOKIE" in environ else None
    found = access.directory.of_session(secret) if secret else None
    if found is None:
        return NOBODY
    is_websocket = environ.get("HTTP_UPGRADE", "").lower() == "websocket"
    if is_websocket or environ["REQUEST_METHOD"] not in SAFE_METHODS:
        _check_same_site(environ, is_websocket)
    return found


def _check_same_site(environ: WSGIEnvironment, is_websocket: bool) -> None:
    """A browser sends cookies along for any page, so it has to say for which.

    app.security has refused the others' values; here also the missing of them is refused (0034).
    """
    if "HTTP_ORIGIN" in environ or ("HTTP_SEC_FETCH_SITE" in environ and not is_websocket):
        return
    raise ProblemError(
        403, "Other origin",
        "a request with a session needs the header Origin; programs send a token instead",
    )  # fmt: skip


def unauthorized(detail: str, challenge: str = REALM, page: str | None = None) -> ProblemError:
    """RFC 9110 §15.5.2, RFC 6750 §3; ``page`` is where htmx takes a browser to."""
    headers = {"WWW-Authenticate": challenge} | ({} if page is None else {"HX-Redirect": page})
    return ProblemError(401, "Unauthorized", detail, headers=headers)


def _forbidden(known: Principal, need: Need) -> ProblemError:
    assert need != "open" and need != "signed-in", "everybody who is known has these"
    role = role_for(need)
    is_token = known.kind == "token"
    if is_token:
        detail = f"this needs a token with the scope {need}; {known.shown!r} has " + (
            ", ".join(sorted(known.scopes))
        )
    else:
        detail = f"this needs the role {role}; {known.name} is {known.role}"
    headers = {
        "WWW-Authenticate": f'{REALM}, error="insufficient_scope", scope="{need}"'
    } if is_token else None  # fmt: skip
    return ProblemError(403, "Forbidden", detail, headers=headers)


def _count(access: Access, known: Principal) -> None:
    limiter = access.limiter
    assert limiter is not None, "only where there is a limit"
    is_named = known.kind in ("user", "token", "local")
    if wait_s := limiter.take(known.key if is_named else address_of_request()):
        raise ProblemError(
            429, "Too Many Requests",
            f"EVENTBUS_RATE_LIMIT is reached; the next request can be made in {wait_s} s",
            headers={"Retry-After": str(wait_s)},
        )  # fmt: skip
