"""Signing in and out: a password, or a provider's word, against a session, each with its event."""

from __future__ import annotations

import time
from dataclasses import dataclass, replace
from typing import Any

from app.access import audit, passwords, users
from app.access.directory import Directory
from app.access.errors import LoginError, NotAllowedError, ThrottledError
from app.access.oidc.arrival import Arrival, arrive
from app.access.oidc.person import Person
from app.access.secret import digest, new_secret
from app.access.store import rows
from app.access.throttle import Throttle
from app.access.values import Session, User
from eventbus.actor import Actor

MOST_SESSIONS_PER_USER = 50
_MOST_AGENT_CHARS = 200


@dataclass(frozen=True, slots=True)
class _Browser:
    """Where somebody signs in: the address, the browser's own word, and a session it had."""

    address: str
    agent: str
    former: str | None


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
        directory = self._directory
        if not directory.ways.has_passwords:
            raise NotAllowedError("nobody signs in with a password here (EVENTBUS_PASSWORD_LOGIN)")
        if wait_s := self._throttle.begin(name, address, time.monotonic()):
            raise ThrottledError(wait_s)
        with directory.changing():
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
        with directory.changing():
            current = directory.users.get(user.id)
            if current is None or current.is_disabled or current.password != user.password:
                raise LoginError("the name or the password is wrong")  # changed meanwhile
            updated = current if rehashed is None else replace(current, password=rehashed)
            changed = rehashed is not None
            return self._begin(Arrival(updated, changed, ()), _Browser(address, agent, former))

    def begin_by_provider(self, address: str) -> None:
        """Count an attempt by a provider, whoever it will turn out to be. Raises ThrottledError."""
        if wait_s := self._throttle.begin(None, address, time.monotonic()):
            raise ThrottledError(wait_s)

    def sign_in_by_provider(
        self, person: Person, address: str, agent: str, former: str | None = None
    ) -> str:
        """As ``sign_in``, for somebody whom the OpenID provider knows, also for the first time.

        Raises NotAllowedError, AccessConflictError, LogWriteError.
        """
        directory = self._directory
        with directory.changing():
            arrival = arrive(directory, person, address)
            self._throttle.succeeded(None, address)
            return self._begin(arrival, _Browser(address, agent, former))

    def refused_by_provider(self, address: str, why: str, name: str | None = None) -> None:
        """Record that somebody who came by the provider was not let in. Raises LogWriteError."""
        client = self._directory.ways.client
        told = audit.event(
            audit.LOGIN_FAILED, name or "unknown", user=name, method="oidc", reason=why,
            provider=None if client is None else client.name, **{"from": address},
        )  # fmt: skip
        self._directory.record(told)

    def not_a_failure(self, address: str) -> None:
        """Forgive an attempt that failed through no fault of who made it."""
        self._throttle.succeeded(None, address)

    def _begin(self, arrival: Arrival, browser: _Browser) -> str:
        """Write a user as they arrive, with a new session; under the lock."""
        directory = self._directory
        secret = new_secret()
        now_us = int(time.time() * 1_000_000)
        ended = self._ended(arrival.user.id, browser.former)
        made: list[tuple[User, Session]] = []

        def write(conn: Any) -> None:
            user = arrival.write(conn)
            session = Session(
                digest(secret), user.id, now_us, browser.address, browser.agent[:_MOST_AGENT_CHARS]
            )
            rows.delete_sessions(conn, ended)
            rows.insert_session(conn, session)
            made.append((user, session))

        how = {} if arrival.provider is None else {"method": "oidc", "provider": arrival.provider}
        name = arrival.user.name
        told = audit.event(
            audit.LOGIN_SUCCEEDED, name, user=name, **how, **{"from": browser.address}
        )
        directory.commit(write, [*arrival.told, told])
        user, session = made[-1]
        for each in ended:
            directory.forget_session(each)
        directory.users[user.id] = user
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
