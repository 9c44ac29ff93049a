"""The page of users and tokens, for admins."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlencode

from flask import Blueprint, redirect, render_template, request
from werkzeug.wrappers import Response

from app.access import requests, tokens, users
from app.access.errors import AccessError, AccessFieldError
from app.access.guard import actor, principal
from app.access.passwords import MIN_CHARS
from app.access.scopes import MEANINGS, ROLES
from app.pages.frame import is_htmx, render
from app.pages.who import who
from app.problems import ProblemError, as_problem
from app.runtime import runtime
from eventbus.timestamps import parse_time

PATH = "/access"
_USERS_SHOWN = 200
_TOKENS_SHOWN = 200
_TIMES = ("created_at", "last_seen_at", "last_used_at", "expires_at", "password_changed_at")
_FIRST = "flask --app wsgi users add {name} --role admin"
_DAYS = (("30", "30 days"), ("90", "90 days"), ("365", "a year"), ("", "never"))

Answer = str | Response | tuple[str, int, dict[str, str]]

blueprint = Blueprint("people", __name__)


@blueprint.get(PATH)
def people() -> str:
    """Everybody who may sign in, and every program's token."""
    return _page(said=_said())


@blueprint.get(f"{PATH}/confirm")
def confirm() -> str:
    """The question before something that ends somebody's access: a dialog, or a page."""
    directory, do = runtime().access.directory, request.args.get("do", "")
    context: dict[str, Any] = {"do": do, "min_chars": MIN_CHARS, "error": None}
    match do:
        case "remove" | "password" | "disable" | "sign-out":
            context["user"] = users.named(directory, request.args.get("user"))
            context["provider"] = directory.ways.client
        case "revoke":
            context["token"] = tokens.named(directory, request.args.get("token"))
        case _:
            raise ProblemError(404, "Not Found", f"there is nothing to confirm as {do[:40]!r}")
    return _question(context)


@blueprint.post(f"{PATH}/users")
def add_user() -> Answer:
    """Add a user."""
    form = request.form
    body = {name: form.get(name, "") for name in ("name", "role", "password")}
    try:
        requests.add_user(runtime().access.directory, body, _by())
    except AccessError as error:
        kept = {"name": body["name"][:64], "role": body["role"]}
        return _refused(error, user_errors=_errors(error), user_form=kept)
    return _done("added", body["name"])


@blueprint.post(f"{PATH}/users/<name>/<action>")
def change_user(name: str, action: str) -> Answer:
    """Give another role or password, disable, enable, sign out, or remove."""
    body = {key: request.form.get(key, "") for key in ("role", "password")}
    directory = runtime().access.directory
    try:
        requests.change_user(directory, name, action, body, _by())
    except AccessError as error:
        if action == "password" and isinstance(error, AccessFieldError):
            context = {"do": action, "user": users.named(directory, name), "error": error.field,
                       "min_chars": MIN_CHARS, "provider": directory.ways.client}  # fmt: skip
            return _question(context), 400, {}
        return _refused(error, problem=str(error))
    return _done(action, name)


@blueprint.post(f"{PATH}/tokens")
def add_token() -> Answer:
    """Make a token, which this answer alone shows."""
    form = request.form
    days = form.get("days", "")
    body: dict[str, Any] = {
        "name": form.get("name", ""),
        "scopes": form.getlist("scopes"),
        "pattern": form.get("pattern", ""),
        "days": int(days) if days.isdecimal() and len(days) < 6 else None,
    }
    try:
        made = requests.add_token(runtime().access.directory, body, _by())
    except AccessError as error:
        return _refused(error, token_errors=_errors(error), token_form=body)
    return _page(made=made), 200, {"Cache-Control": "no-store"}


@blueprint.post(f"{PATH}/tokens/<token>/revoke")
def change_token(token: str) -> Answer:
    """End a token at once."""
    try:
        gone = requests.revoke_token(runtime().access.directory, token, {}, _by())
    except AccessError as error:
        return _refused(error, problem=str(error))
    return _done("revoked", gone["name"])


def _by() -> str:
    return actor(who())


def _done(what: str, name: str) -> Response:
    return redirect(f"{PATH}?{urlencode({'did': what, 'to': name[:80]})}", 303)


def _said() -> str | None:
    to = request.args.get("to", "")[:80]
    return {
        "added": f"{to} can sign in now.",
        "role": f"{to} has another role.",
        "password": f"{to} has another password, and was signed out everywhere.",
        "disable": f"{to} cannot sign in any more, and was signed out everywhere.",
        "enable": f"{to} can sign in again.",
        "sign-out": f"{to} was signed out everywhere.",
        "remove": f"{to} was removed.",
        "revoked": f"The token {to} opens nothing any more.",
    }.get(request.args.get("did", ""))


def _question(context: dict[str, Any]) -> str:
    if is_htmx():
        return render_template("people/_confirm.html", **context)
    access = runtime().access
    return render(
        "people.html", "people", question=context, ways=access.directory.ways,
        is_guarded=access.is_guarded, **context,
    )  # fmt: skip


def _refused(error: AccessError, **more: Any) -> Answer:
    problem = as_problem(error)
    return _page(**more), problem.status, problem.headers


def _errors(error: AccessError) -> dict[str, str]:
    if isinstance(error, AccessFieldError):
        return {error.name: error.field.detail}
    return {"name": str(error)}


def _page(**more: Any) -> str:
    directory = runtime().access.directory
    people = [_timed(each) for each in requests.list_users(directory)["users"]]
    programs = [_timed(each) for each in requests.list_tokens(directory)["tokens"]]
    return render(
        "people.html", "people", users=people[:_USERS_SHOWN], user_count=len(people),
        tokens=programs[:_TOKENS_SHOWN], token_count=len(programs), roles=ROLES,
        scopes=MEANINGS, days=_DAYS, is_guarded=runtime().access.is_guarded,
        ways=directory.ways, min_chars=MIN_CHARS, first_user=_FIRST.format(name="ana"),
        me=principal().name,
        **{
            "question": None, "said": None, "problem": None, "made": None, "user_errors": {},
            "user_form": {}, "token_errors": {}, "token_form": {}, **more,
        },
    )  # fmt: skip


def _timed(each: dict[str, Any]) -> dict[str, Any]:
    return {
        key: parse_time(value) if key in _TIMES and value is not None else value
        for key, value in each.items()
    }
