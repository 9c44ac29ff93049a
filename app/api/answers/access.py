"""Shapes of answers about users, tokens, and who asks."""

from __future__ import annotations

from datetime import datetime
from typing import Literal, TypedDict

from app.access.principal import Kind
from app.access.scopes import Role, Scope
from app.api.answers.extended import extended


class Me(TypedDict):
    """Who asks. `guarded` says whether one has to say who one is."""

    kind: Kind
    name: str | None
    role: Role | None
    scopes: list[Scope]
    pattern: str | None
    guarded: bool


class UserShown(TypedDict):
    """Somebody who may sign in, in so many browsers now: with a password, or by the OpenID provider
    `issuer`, which knows them as `subject`.
    """

    name: str
    role: Role
    disabled: bool
    sessions: int
    login: Literal["password", "oidc"]
    issuer: str | None
    subject: str | None
    created_at: datetime
    password_changed_at: datetime
    last_seen_at: datetime | None


class Users(TypedDict):
    """All users."""

    users: list[UserShown]


class TokenShown(TypedDict):
    """A token, without what proves it."""

    id: int
    name: str
    scopes: list[Scope]
    pattern: str | None
    expired: bool
    expires_at: datetime | None
    created_at: datetime
    created_by: str
    last_used_at: datetime | None


class Tokens(TypedDict):
    """All tokens."""

    tokens: list[TokenShown]


NewToken = extended(
    "NewToken", "A token with its value, which is told this once.", TokenShown, token=str
)
