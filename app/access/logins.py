"""Signing in and out: a password against a session, throttled, each with its event."""

from __future__ import annotations

import time
from dataclasses import replace
from typing import Any

from app.access import audit, passwords, users
from app.access.directory import Directory
from app.access.errors import LoginError, ThrottledError
from app.access.secret import digest, new_secret
from app.access.store import rows
from app.access.throttle import Throttle
from app.access.values import Session
from eventbus.actor import Actor

MOST_SESSIONS_PER_USER = 50
_MOST_AGENT_CHARS = 200


class Logins:
    """Gives out sessions; for any thread."""

    def __init__(self, directory: Directory) -> None:
        self._directory = directory
        self._throttle = Throttle()

    def sign_in(
        self, name: str, password: str, address: str, agent: str, former: str | None = None
    ) -> str:
        """The secret of a new session. ``former`` is one that the browser had, and is ended.

        Takes as long for a name that nobody has. Blocks for about 0.2 s. Raises LoginError,
        ThrottledError, BusyError, LogWriteError.
        """
        if wait_s := self._throttle.begin(name, address, time.monotonic()):
            raise ThrottledError(wait_s)
        directory = self._directory
        user = users.find(directory, name)
        is_right = passwords.is_right(password, None if user is None else user.password)
        if user is None or not is_right or user.is_disabled:
            # A name that nobody has is not recorded: people type passwords into that field.
            known = {} if user is None else {"user": user.name}
            subject = "unknown" if user is None else user.name
            told = audit.event(audit.LOGIN_FAILED, subject, **known, **{"from": address})
            directory.record(told)
            raise LoginError("the name or the password is wrong")
        self._throttle.succeeded(name, address)
        rehashed = passwords.hashed(password) if passwords.is_outdated(user.password) else None
        secret = new_secret()
        now_us = int(time.time() * 1_000_000)
        session = Session(digest(secret), user.id, now_us, address, agent[:_MOST_AGENT_CHARS])
        with directory.lock:
            current = directory.users.get(user.id)
            if current is None or current.is_disabled or current.password != user.password:
                raise LoginError("the name or the password is wrong")  # changed meanwhile
            updated = current if rehashed is None else replace(current, password=rehashed)
            ended = self._ended(user.id, former)

            def write(conn: Any) -> None:
                rows.delete_sessions(conn, ended)
                rows.insert_session(conn, session)
                if rehashed is not None:
                    rows.update_user(conn, updated)

            told = audit.event(
                audit.LOGIN_SUCCEEDED, user.name, user=user.name, **{"from": address}
            )
            directory.commit(write, [told])
            for each in ended:
                directory.forget_session(each)
            directory.users[user.id] = updated
            directory.sessions[session.digest] = session
            directory.sessions_seen[session.digest] = directory.users_seen[user.id] = now_us
            directory.changed()
        return secret

    def confirm(self, name: str, password: str, address: str) -> None:
        """Check the password of somebody who is signed in, throttled as a login.

        Raises LoginError, ThrottledError, BusyError.
        """
        if wait_s := self._throttle.begin(name, address, time.monotonic()):
            raise ThrottledError(wait_s)
        user = users.find(self._directory, name)
        if not passwords.is_right(password, None if user is None else user.password):
            raise LoginError("the password is wrong")
        self._throttle.succeeded(name, address)

    def sign_out(self, name: str, session: str, address: str | None) -> None:
        """End one session, by its digest."""
        users.end_sessions(self._directory, name, Actor(name, address), only=session)

    def _ended(self, user: int, former: str | None) -> list[str]:
        """Sessions that the new one takes the place of: this browser's, and the oldest of many."""
        sessions = self._directory.sessions
        ended = [] if former is None or digest(former) not in sessions else [digest(former)]
        own = sorted(
            (each for each in list(sessions.values()) if each.user == user),
            key=lambda each: self._directory.sessions_seen.get(each.digest, each.created_us),
        )
        too_many = own[: max(0, len(own) - MOST_SESSIONS_PER_USER + 1)]
        return list(dict.fromkeys([*ended, *(each.digest for each in too_many)]))
