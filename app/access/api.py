"""Users and tokens over HTTP, for admins, and for everybody who they are."""

from __future__ import annotations

from typing import Any

from flask import Blueprint, Response

from app.access import requests
from app.access.guard import actor, principal
from app.access.passwords import MAX_CHARS, MIN_CHARS
from app.access.scopes import ROLES, SCOPES
from app.access.tokens import MAX_DAYS, MAX_NAME_CHARS
from app.access.users import NAME
from app.alert_decisions import checked_name
from app.api.answers.access import Me, NewToken, Tokens, TokenShown, Users, UserShown
from app.api.common import BY, TYPE
from app.api.shapes import answer
from app.openapi import kinds
from app.openapi.fields import Body, Field
from app.openapi.operation import operation
from app.runtime import runtime
from eventbus.actor import Actor

_TAG = "Users and tokens"
_USER = Field("name", kinds.text(64), "The user's name, in any case of its letters.", example="ana")
_NEW_NAME = Field(
    "name", kinds.matching(NAME, "1 to 64 letters, digits or . _ @ + -"), "What they sign in as.",
    is_needed=True, example="ana",
)  # fmt: skip
_ROLE = Field("role", kinds.choice(ROLES), "What they may do; a viewer when it is not said.")
_PASSWORD = Field(
    "password", kinds.text(MAX_CHARS), f"Of {MIN_CHARS} to {MAX_CHARS} characters.",
    example="correct horse battery",
)  # fmt: skip
_OPEN = Field(
    "open", kinds.flag(), "Also the last user or token, so that nobody has to sign in any more.",
    default=False,
)  # fmt: skip
_ACTION = Field(
    "action", kinds.choice(tuple(requests.USER_ACTIONS)), "What is done; `role` and `password` "
    "have their value in the body.", example="disable",
)  # fmt: skip
_PURPOSE = Field(
    "name", kinds.name(MAX_NAME_CHARS), "What it is for.", is_needed=True, example="nightly runs"
)
_ALLOWED = tuple(dict.fromkeys((*SCOPES, *ROLES)))  # admin is both
_SCOPES = Field(
    "scopes", kinds.items(kinds.choice(_ALLOWED), "scopes or roles", len(SCOPES)),
    "What it may do; a role stands for all that it has.", is_needed=True, example=["publish"],
)  # fmt: skip
_PATTERN = Field(
    "pattern", TYPE.kind, "Only types that match may be published with it.", example="evaluation.*"
)
_DAYS = Field("days", kinds.number(0, MAX_DAYS, "days"), "It ends after so many; never without.")
_TOKEN = Field("token", kinds.text(MAX_NAME_CHARS), "The token's id or name.", example="7")
_NEW_USER = Body(
    (_NEW_NAME, _ROLE, _PASSWORD, BY),
    {"an operator": {"name": "ana", "role": "operator", "password": "correct horse battery"}},
    is_needed=True,
)
_CHANGE = Body((_ROLE, _PASSWORD, _OPEN, BY), {"by whom": {"by": "ann"}})
_NEW_TOKEN = Body(
    (_PURPOSE, _SCOPES, _PATTERN, _DAYS, BY),
    {"a producer": {"name": "nightly runs", "scopes": ["publish"], "days": 90}},
    is_needed=True,
)
_REVOKE = Body((_OPEN, BY), {"by whom": {"by": "ann"}})
_NO_USER = {404: "There is no such user."}
_LAST = {409: "It is the last one that is needed."}

blueprint = Blueprint("access", __name__)


@blueprint.get("/me")
@operation("whoAmI", _TAG, answers={200: Me})
def me() -> Response:
    """Who asks, as what, and what they may do."""
    known = principal()
    return answer(
        {
            "kind": known.kind,
            "name": known.name or None,
            "role": known.role,
            "scopes": sorted(known.scopes),
            "pattern": None if known.pattern is None else known.pattern.text,
            "guarded": runtime().access.is_guarded,
        }
    )


@blueprint.get("/users")
@operation("listUsers", _TAG, answers={200: Users})
def users() -> Response:
    """All users, by name."""
    return answer(requests.list_users(runtime().access.directory))


@blueprint.post("/users")
@operation(
    "addUser", _TAG, body=_NEW_USER, answers={201: UserShown},
    problems={409: "The name is taken, or the first one is no admin."},
)  # fmt: skip
def add_user() -> Response:
    """Add a user, who can sign in at once. The first one must be an admin."""
    body = _NEW_USER.read()
    return answer(requests.add_user(runtime().access.directory, body, _by(body)), 201)


@blueprint.post("/users/<name>/<action>")
@operation(
    "{action}User", _TAG, path=(_USER, _ACTION), body=_CHANGE, answers={200: UserShown},
    problems={**_NO_USER, **_LAST},
)  # fmt: skip
def change_user(name: str, action: str) -> Response:
    """{action} a user. The answer is the user as it is then."""
    body = _CHANGE.read()
    directory = runtime().access.directory
    return answer(requests.change_user(directory, name, action, body, _by(body)))


@blueprint.get("/tokens")
@operation("listTokens", _TAG, answers={200: Tokens})
def tokens() -> Response:
    """All tokens, the newest first; nothing proves itself by what is told here."""
    return answer(requests.list_tokens(runtime().access.directory))


@blueprint.post("/tokens")
@operation(
    "createToken", _TAG, body=_NEW_TOKEN, answers={201: NewToken},
    problems={409: "The name is taken."},
)  # fmt: skip
def add_token() -> Response:
    """Make a token. Only this answer has its value, of which the server keeps a digest."""
    body = _NEW_TOKEN.read()
    return answer(requests.add_token(runtime().access.directory, body, _by(body)), 201)


@blueprint.post("/tokens/<token>/revoke")
@operation(
    "revokeToken", _TAG, path=(_TOKEN,), body=_REVOKE, answers={200: TokenShown},
    problems={404: "There is no such token.", **_LAST},
)  # fmt: skip
def revoke_token(token: str) -> Response:
    """End a token at once. Its open connections are closed."""
    body = _REVOKE.read()
    return answer(requests.revoke_token(runtime().access.directory, token, body, _by(body)))


def _by(body: dict[str, Any]) -> Actor:
    claimed = body["by"]
    return actor(checked_name(claimed) if claimed else "") or Actor("somebody")
