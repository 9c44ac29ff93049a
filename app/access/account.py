"""The account page: where one is signed in, and one's password."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from flask import Blueprint, redirect, request
from werkzeug.wrappers import Response

from app.access import users
from app.access.errors import AccessError, AccessFieldError, LoginError
from app.access.guard import actor, address_of_request, principal
from app.access.passwords import MIN_CHARS
from app.access.values import Session
from app.pages.frame import render
from app.problems import ProblemError, as_problem
from app.runtime import runtime
from eventbus.timestamps import from_microseconds

blueprint = Blueprint("account", __name__)


@blueprint.get("/account")
def account() -> str | Response:
    """Who one is, where one is signed in, and the form for another password."""
    if principal().kind != "user":
        return redirect("/", 303)  # a token, the command line or nobody in particular has none
    return _page(said=request.args.get("said"))


@blueprint.post("/account/password")
def change_password() -> Response | tuple[str, int, dict[str, str]]:
    """Take another password for the one that one knows; the other sessions end."""
    name, session = _user()
    new, again = request.form.get("new", ""), request.form.get("again", "")
    access = runtime().access
    try:
        users.check_password_is_ours(access.directory, users.named(access.directory, name))
        if new != again:
            raise AccessFieldError("again", "is not the same as the new password")
        access.logins.confirm(name, request.form.get("current", ""), address_of_request())
        users.set_password(access.directory, name, new, actor(""), keep=session)
    except AccessError as error:
        problem = as_problem(error)
        return _page(errors=_errors(error)), problem.status, problem.headers
    return redirect("/account?said=password", 303)


@blueprint.post("/account/sessions")
def end_sessions() -> Response:
    """Sign out everywhere but here, or of the one session that ``which`` begins to name."""
    name, session = _user()
    directory = runtime().access.directory
    which = request.form.get("which", "")
    only = None
    if which:
        own = [each.digest for each in _own_sessions() if each.digest.startswith(which)]
        if len(which) < 16 or len(own) != 1:
            return redirect("/account", 303)  # it has ended already
        only = own[0]
    users.end_sessions(directory, name, actor(""), keep=session, only=only)
    return redirect("/account?said=sessions", 303)


def _user() -> tuple[str, str]:
    known = principal()
    if known.kind != "user" or known.session is None:
        raise ProblemError(403, "Forbidden", "only somebody who has signed in has an account")
    return known.name, known.session


def _own_sessions() -> list[Session]:
    directory, known = runtime().access.directory, principal()
    return [each for each in list(directory.sessions.values()) if each.user == known.id]


def _page(**more: Any) -> str:
    directory, known = runtime().access.directory, principal()
    seen = directory.sessions_seen
    user, client = directory.users.get(known.id), directory.ways.client
    by_provider = user is not None and user.issuer is not None and client is not None
    own = sorted(_own_sessions(), key=lambda each: -seen.get(each.digest, each.created_us))
    return render(
        "account.html", "account", min_chars=MIN_CHARS,
        provider=client.name if by_provider and client is not None else None,
        is_role_given=user is not None and directory.ways.decides_role_of(user),
        sessions=[
            {
                "which": each.digest[:24], "is_this": each.digest == known.session,
                "address": each.address, "agent": browser(each.agent),
                "began": from_microseconds(each.created_us),
                "seen": _seen(seen.get(each.digest, each.created_us)),
            }
            for each in own
        ],
        **{"errors": {}, "said": None, **more},
    )  # fmt: skip


def _seen(microseconds: int) -> datetime:
    return from_microseconds(microseconds)


def _errors(error: AccessError) -> dict[str, str]:
    if isinstance(error, AccessFieldError):
        return {{"password": "new"}.get(error.name, error.name): error.field.detail}
    if isinstance(error, LoginError):
        return {"current": "is not your password"}
    return {"current": str(error)}


def browser(agent: str) -> str:
    """A user agent in two words, as people know it: ``Firefox on Linux``."""
    kinds = (("Edg/", "Edge"), ("OPR/", "Opera"), ("Firefox/", "Firefox"), ("Chrome/", "Chrome"),
             ("Safari/", "Safari"), ("curl/", "curl"))  # fmt: skip
    systems = (("Android", "Android"), ("iPhone", "iPhone"), ("iPad", "iPad"),
               ("Windows", "Windows"), ("Mac OS", "macOS"), ("Linux", "Linux"))  # fmt: skip
    kind = next((name for mark, name in kinds if mark in agent), None)
    system = next((name for mark, name in systems if mark in agent), None)
    if kind is None:
        return agent[:60] or "unknown"
    return kind if system is None else f"{kind} on {system}"
