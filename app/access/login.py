"""The login page, signing in with a password and signing out."""

from __future__ import annotations

from typing import Any
from urllib.parse import quote

from flask import Blueprint, make_response, redirect, render_template, request
from werkzeug.wrappers import Response

from app.access.cookie import drop_session, session_secret, set_session
from app.access.errors import AccessError, LoginError, ThrottledError
from app.access.guard import address_of_request, principal
from app.pages.frame import is_local
from app.problems import as_problem, wants_page
from app.runtime import runtime

MAX_FORM_BYTES = 16_384
NO_STORE = {"Cache-Control": "no-store"}

Answer = str | Response

blueprint = Blueprint("login", __name__)


@blueprint.get("/login")
def form() -> Answer:
    """The form; who has signed in goes on to where they wanted."""
    path = wanted(request.args.get("next", ""))
    if not runtime().access.is_guarded or principal().kind == "user":
        return redirect(path, 303)
    return _page(path)


@blueprint.post("/login")
def sign_in() -> Answer:
    """Check name and password, and begin a session; what the browser had before is void."""
    request.max_content_length = MAX_FORM_BYTES
    name, password = request.form.get("name", ""), request.form.get("password", "")
    path = wanted(request.form.get("next", ""))
    try:
        secret = runtime().access.logins.sign_in(
            name, password, address_of_request(), request.headers.get("User-Agent", ""),
            session_secret(),
        )  # fmt: skip
    except AccessError as error:
        return _refused(error, path, name=name[:64], error=_said(error))
    response = redirect(path, 303)
    set_session(response, secret)
    return response


@blueprint.post("/logout")
def sign_out() -> Response:
    """End the session."""
    known, access = principal(), runtime().access
    path = "/login"
    if known.session is not None:
        user = access.directory.users.get(known.id)
        client = access.directory.ways.client
        if user is not None and user.issuer is not None and client is not None and client.signs_out:
            path = "/login/oidc/signed-out"
        access.logins.sign_out(known.name, known.session, address_of_request())
    response = redirect(path, 303)
    # What the browser has kept of the pages goes as well (W3C Clear Site Data).
    response.headers["Clear-Site-Data"] = '"cache"'
    drop_session(response)
    return response


def wanted(path: str) -> str:
    """Where to go after signing in: a path of this site, and not where one signs in or out."""
    return path if is_local(path) and not path.startswith(("/login", "/logout")) else "/"


def refused(error: AccessError, path: str) -> Response:
    """The login page with why somebody did not come in by the provider; raises for programs."""
    if not wants_page():
        raise error
    return _refused(error, path, provider_error=_said(error))


def _refused(what: AccessError, path: str, **more: Any) -> Response:
    problem = as_problem(what)
    return make_response(_page(path, **more), problem.status, {**problem.headers, **NO_STORE})


def _page(path: str, **more: Any) -> str:
    directory = runtime().access.directory
    ways = directory.ways
    has_users = any(user.issuer is None for user in list(directory.users.values()))
    return render_template(
        "login.html", next=path, provider=None if ways.client is None else ways.client.name,
        provider_path="/login/oidc" + ("" if path == "/" else f"?next={quote(path)}"),
        has_passwords=ways.has_passwords and has_users,
        **{"name": "", "error": None, "provider_error": None, **more},
    )  # fmt: skip


def _said(error: AccessError) -> str:
    if isinstance(error, LoginError):
        return "The name or the password is wrong."
    if isinstance(error, ThrottledError):
        return f"Too many attempts failed. The next one can be made in {error.retry_after_s} s."
    text = str(error)
    return f"{text[:1].upper()}{text[1:]}."
