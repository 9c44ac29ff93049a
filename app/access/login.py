"""The login page, signing in and signing out."""

from __future__ import annotations

from flask import Blueprint, redirect, render_template, request
from werkzeug.wrappers import Response

from app.access.cookie import drop_session, session_secret, set_session
from app.access.errors import AccessError, LoginError, ThrottledError
from app.access.guard import address_of_request, principal
from app.pages.frame import is_local
from app.problems import as_problem
from app.runtime import runtime

MAX_FORM_BYTES = 16_384
_NO_STORE = {"Cache-Control": "no-store"}

blueprint = Blueprint("login", __name__)


@blueprint.get("/login")
def form() -> str | Response:
    """The form; who has signed in goes on to where they wanted."""
    wanted = _wanted(request.args.get("next", ""))
    access = runtime().access
    if not access.is_guarded or principal().kind == "user":
        return redirect(wanted, 303)
    has_users = bool(access.directory.users)
    return render_template("login.html", next=wanted, name="", error=None, has_users=has_users)


@blueprint.post("/login")
def sign_in() -> Response | tuple[str, int, dict[str, str]]:
    """Check name and password, and begin a session; what the browser had before is void."""
    request.max_content_length = MAX_FORM_BYTES
    name, password = request.form.get("name", ""), request.form.get("password", "")
    wanted = _wanted(request.form.get("next", ""))
    access = runtime().access
    try:
        secret = access.logins.sign_in(
            name, password, address_of_request(), request.headers.get("User-Agent", ""),
            session_secret(),
        )  # fmt: skip
    except AccessError as error:
        problem = as_problem(error)
        page = render_template(
            "login.html", next=wanted, name=name[:64], error=_said(error),
            has_users=bool(access.directory.users),
        )  # fmt: skip
        return page, problem.status, {**problem.headers, **_NO_STORE}
    response = redirect(wanted, 303)
    set_session(response, secret)
    return response


@blueprint.post("/logout")
def sign_out() -> Response:
    """End the session."""
    known = principal()
    if known.session is not None:
        runtime().access.logins.sign_out(known.name, known.session, address_of_request())
    response = redirect("/login", 303)
    # What the browser has kept of the pages goes as well (W3C Clear Site Data).
    response.headers["Clear-Site-Data"] = '"cache"'
    drop_session(response)
    return response


def _wanted(path: str) -> str:
    return path if is_local(path) and not path.startswith(("/login", "/logout")) else "/"


def _said(error: AccessError) -> str:
    if isinstance(error, LoginError):
        return "The name or the password is wrong."
    if isinstance(error, ThrottledError):
        return f"Too many attempts failed. The next one can be made in {error.retry_after_s} s."
    return f"{error}."
