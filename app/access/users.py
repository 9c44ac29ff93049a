"""Adding, changing and removing users, each in one commit with the event that tells of it."""

from __future__ import annotations

import re
import time
from dataclasses import replace
from typing import Any

from app.access import audit, passwords
from app.access.directory import Directory
from app.access.errors import AccessConflictError, AccessFieldError, UnknownError
from app.access.scopes import ROLES, Role
from app.access.store import rows
from app.access.values import User, name_key
from eventbus import Event
from eventbus.validation import shown

MOST_USERS = 1_000

NAME = r"[A-Za-z0-9][A-Za-z0-9._@+-]{0,63}"


def find(directory: Directory, name: object) -> User | None:
    """The user of that name, in any case of its letters."""
    key = name_key(name) if isinstance(name, str) else None
    return next((user for user in list(directory.users.values()) if user.key == key), None)


def named(directory: Directory, name: object) -> User:
    """As ``find``. Raises UnknownError."""
    found = find(directory, name)
    if found is None:
        raise UnknownError(f"there is no user {shown(name)}")
    return found


def add(directory: Directory, name: object, role: object, password: object, by: str) -> User:
    """Add a user. Blocks. Raises AccessFieldError, AccessConflictError, LogWriteError."""
    if not isinstance(name, str) or not re.fullmatch(NAME, name):
        raise AccessFieldError(
            "name",
            "must be 1 to 64 letters, digits or . _ @ + - and begin with a letter or digit, not "
            f"{shown(name)}",
        )
    checked = _role(role)
    stored = _hash(password, name)
    now_us = _now_us()
    user = User(0, name, checked, stored, False, now_us, now_us)
    with directory.changing():
        if find(directory, name) is not None:
            raise AccessConflictError(f"there is a user {name!r} already")
        check_room(directory)
        if checked != "admin" and not _admins(directory):
            raise AccessConflictError(
                "the first user must be an admin: nobody could change anything about users "
                "otherwise"
            )
        ids: list[int] = []
        directory.commit(
            lambda conn: ids.append(rows.insert_user(conn, user)),
            [audit.event(audit.USER_ADDED, name, by, user=name, role=checked)],
        )
        added = directory.users[ids[-1]] = replace(user, id=ids[-1])
        directory.changed()
    return added


def check_room(directory: Directory) -> None:
    """Raises AccessConflictError when there are as many users as there may be."""
    if len(directory.users) >= MOST_USERS:
        raise AccessConflictError(f"there are {MOST_USERS} users, which is the most")


def set_role(directory: Directory, name: object, role: object, by: str) -> User:
    """Give a user another role. Raises as ``add``, and UnknownError."""
    checked = _role(role)
    with directory.changing():
        user = named(directory, name)
        if user.role == checked:
            return user
        if directory.ways.decides_role_of(user):
            raise AccessConflictError(
                f"what {user.name} may do is decided by {_provider(directory)}, which they sign in "
                "with: it would be undone with their next login. Change it there"
            )
        if checked != "admin":
            _keep_an_admin(directory, user)
        told = audit.event(
            audit.USER_ROLE_CHANGED, user.name, by, user=user.name, role=checked, was=user.role
        )
        return _update(directory, replace(user, role=checked), told)


def set_password(
    directory: Directory, name: object, password: object, by: str, keep: str | None = None
) -> User:
    """Give a user another password, which ends all sessions but the one with the digest ``keep``.

    Raises as ``set_role``.
    """
    user = named(directory, name)
    check_password_is_ours(directory, user)
    stored = _hash(password, user.name)
    with directory.changing():
        user = named(directory, name)
        told = audit.event(audit.USER_PASSWORD_CHANGED, user.name, by, user=user.name)
        changed = replace(user, password=stored, password_us=_now_us())
        return _update(directory, changed, told, sessions_of(directory, user.id, keep))


def check_password_is_ours(directory: Directory, user: User) -> None:
    """Raises AccessConflictError for who signs in otherwise."""
    if user.issuer is not None:
        raise AccessConflictError(
            f"{user.name} has no password here: they sign in with {_provider(directory)}"
        )


def set_disabled(directory: Directory, name: object, is_disabled: bool, by: str) -> User:
    """Let a user no more sign in, which ends all sessions; or again. Raises as ``set_role``."""
    with directory.changing():
        user = named(directory, name)
        if user.is_disabled == is_disabled:
            return user
        if is_disabled:
            _keep_an_admin(directory, user)
        type = audit.USER_DISABLED if is_disabled else audit.USER_ENABLED
        told = audit.event(type, user.name, by, user=user.name)
        ended = sessions_of(directory, user.id) if is_disabled else []
        return _update(directory, replace(user, is_disabled=is_disabled), told, ended)


def remove(directory: Directory, name: object, by: str, opens: bool = False) -> User:
    """Remove a user with all sessions; with ``opens`` also the last one there is.

    Raises as ``set_role``.
    """
    with directory.changing():
        user = named(directory, name)
        is_last = len(directory.users) + len(directory.tokens) == 1
        if is_last and not opens and directory.ways.client is None:
            raise last_credential()
        if len(directory.users) > 1:
            _keep_an_admin(directory, user)
        directory.commit(
            lambda conn: rows.delete_user(conn, user.id),
            [audit.event(audit.USER_REMOVED, user.name, by, user=user.name, role=user.role)],
        )
        for digest in sessions_of(directory, user.id):
            directory.forget_session(digest)
        del directory.users[user.id]
        directory.users_seen.pop(user.id, None)
        directory.changed()
    return user


def end_sessions(
    directory: Directory, name: object, by: str, *, keep: str | None = None,
    only: str | None = None,
) -> int:  # fmt: skip
    """Sign a user out everywhere but in the session ``keep``, or in ``only`` one; how many ended.

    Both are digests. Raises UnknownError, LogWriteError.
    """
    with directory.changing():
        user = named(directory, name)
        ended = [
            digest
            for digest in sessions_of(directory, user.id, keep)
            if only is None or digest == only
        ]
        if ended:
            told = audit.event(
                audit.SESSIONS_ENDED, user.name, by, user=user.name, sessions=len(ended)
            )
            directory.commit(lambda conn: rows.delete_sessions(conn, ended), [told])
            for digest in ended:
                directory.forget_session(digest)
            directory.changed()
    return len(ended)


def last_credential() -> AccessConflictError:
    """Why the last user or token is not removed by the way."""
    return AccessConflictError(
        "this is the last user or token: without it nobody would have to sign in any more. On the "
        "server's machine `flask users remove` and `flask tokens revoke` do it with --open"
    )


def _update(directory: Directory, user: User, told: Event, ended: list[str] | None = None) -> User:
    gone = ended or []

    def write(conn: Any) -> None:
        rows.update_user(conn, user)
        rows.delete_sessions(conn, gone)

    directory.commit(write, [told])
    directory.users[user.id] = user
    for digest in gone:
        directory.forget_session(digest)
    directory.changed()
    return user


def sessions_of(directory: Directory, user: int, keep: str | None = None) -> list[str]:
    """The digests of a user's sessions but the one with the digest ``keep``."""
    sessions = list(directory.sessions.values())
    return [each.digest for each in sessions if each.user == user and each.digest != keep]


def _admins(directory: Directory) -> list[User]:
    people = directory.users.values()
    return [user for user in people if user.role == "admin" and not user.is_disabled]


def _keep_an_admin(directory: Directory, user: User) -> None:
    if [each.id for each in _admins(directory)] == [user.id]:
        raise AccessConflictError(
            f"{user.name} is the only admin who can sign in; make somebody else one first"
        )


def _provider(directory: Directory) -> str:
    client = directory.ways.client
    return "an OpenID provider" if client is None else client.name


def _role(role: object) -> Role:
    for known in ROLES:
        if role == known:
            return known
    raise AccessFieldError("role", f"must be one of {', '.join(ROLES)}, not {shown(role)}")


def _hash(password: object, name: str) -> str:
    if what := passwords.problem(password, name):
        raise AccessFieldError("password", what)
    return passwords.hashed(str(password))


def _now_us() -> int:
    return int(time.time() * 1_000_000)
