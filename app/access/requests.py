"""What can be asked about users and tokens, as JSON: for the API and the command line."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import Any

from app.access import tokens, users
from app.access.directory import Directory
from app.access.errors import AccessFieldError, UnknownError
from app.access.values import Token, User
from eventbus.timestamps import format_time, from_microseconds
from eventbus.validation import shown

Body = Mapping[str, Any]


def list_users(directory: Directory) -> dict[str, Any]:
    """All users, by name."""
    known = sorted(directory.users.values(), key=lambda user: user.key)
    return {"users": [described_user(directory, user) for user in known]}


def add_user(directory: Directory, body: Body, by: str) -> dict[str, Any]:
    """``name``, ``role``, ``password``."""
    role = body.get("role") or "viewer"
    user = users.add(directory, body.get("name"), role, body.get("password"), by)
    return described_user(directory, user)


def _set_role(directory: Directory, name: str, body: Body, by: str) -> User:
    return users.set_role(directory, name, body.get("role"), by)


def _set_password(directory: Directory, name: str, body: Body, by: str) -> User:
    return users.set_password(directory, name, body.get("password"), by)


def _sign_out(directory: Directory, name: str, body: Body, by: str) -> User:
    users.end_sessions(directory, name, by)
    return users.named(directory, name)


def _remove(directory: Directory, name: str, body: Body, by: str) -> User:
    return users.remove(directory, name, by, opens=flag(body, "open"))


USER_ACTIONS: Mapping[str, Callable[[Directory, str, Body, str], User]] = {
    "role": _set_role,
    "password": _set_password,
    "disable": lambda directory, name, body, by: users.set_disabled(directory, name, True, by),
    "enable": lambda directory, name, body, by: users.set_disabled(directory, name, False, by),
    "sign-out": _sign_out,
    "remove": _remove,
}


def change_user(
    directory: Directory, name: str, action: str, body: Body, by: str
) -> dict[str, Any]:
    """One of ``USER_ACTIONS``; ``role`` and ``password`` have their value in the body."""
    change = USER_ACTIONS.get(action)
    if change is None:
        raise UnknownError(
            f"there is no action {shown(action)} of a user; there are {', '.join(USER_ACTIONS)}"
        )
    return described_user(directory, change(directory, name, body, by))


def list_tokens(directory: Directory) -> dict[str, Any]:
    """All tokens, the newest first."""
    known = sorted(directory.tokens.values(), key=lambda token: -token.id)
    return {"tokens": [described_token(directory, token) for token in known]}


def add_token(directory: Directory, body: Body, by: str) -> dict[str, Any]:
    """``name``, ``scopes``, and if wanted ``pattern`` and ``days``; only this answer has it."""
    token, secret = tokens.create(
        directory, body.get("name"), body.get("scopes"), by,
        pattern=body.get("pattern"), days=body.get("days"),
    )  # fmt: skip
    return {**described_token(directory, token), "token": secret}


def revoke_token(directory: Directory, which: str, body: Body, by: str) -> dict[str, Any]:
    """By id or name."""
    token = tokens.revoke(directory, which, by, opens=flag(body, "open"))
    return described_token(directory, token)


def described_user(directory: Directory, user: User) -> dict[str, Any]:
    """A user as JSON, without the password's hash."""
    browsers = sum(1 for each in list(directory.sessions.values()) if each.user == user.id)
    return {
        "name": user.name,
        "role": user.role,
        "disabled": user.is_disabled,
        "sessions": browsers,
        "login": "password" if user.issuer is None else "oidc",
        "issuer": user.issuer,
        "subject": user.subject,
        "created_at": _time(user.created_us),
        "password_changed_at": _time(user.password_us),
        "last_seen_at": _time(directory.users_seen.get(user.id)),
    }


def described_token(directory: Directory, token: Token) -> dict[str, Any]:
    """A token as JSON, without what proves it."""
    is_expired = token.expires_us is not None and token.expires_us <= time.time() * 1_000_000
    return {
        "id": token.id,
        "name": token.name,
        "scopes": sorted(token.scopes),
        "pattern": token.pattern,
        "expired": is_expired,
        "expires_at": _time(token.expires_us),
        "created_at": _time(token.created_us),
        "created_by": token.created_by,
        "last_used_at": _time(directory.tokens_used.get(token.id)),
    }


def flag(body: Body, name: str) -> bool:
    """A member that is true or false, and false when it is not there."""
    value = body.get(name, False)
    if not isinstance(value, bool):
        raise AccessFieldError(name, f"must be true or false, not {shown(value)}")
    return value


def _time(microseconds: int | None) -> str | None:
    return None if microseconds is None else format_time(from_microseconds(microseconds))
