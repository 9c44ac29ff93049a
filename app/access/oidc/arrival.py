"""Somebody arrives by the provider: who they are here, and what is written about it."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from app.access import audit, users
from app.access.errors import AccessConflictError, NotAllowedError
from app.access.store import rows
from app.access.values import User
from eventbus import Event
from eventbus.actor import Actor

if TYPE_CHECKING:
    from app.access.directory import Directory
    from app.access.oidc.client import OidcClient
    from app.access.oidc.person import Person
    from app.access.scopes import Role


@dataclass(frozen=True, slots=True)
class Arrival:
    """A user who signs in, as they are from then on, and the events of what that changes.

    ``id`` 0 is a new one. ``provider`` is what the OpenID provider is called, None for a password.
    """

    user: User
    is_changed: bool
    told: Sequence[Event]
    provider: str | None = None

    def write(self, conn: Any) -> User:
        """Write what is changed; the user with their id."""
        if self.user.id == 0:
            return replace(self.user, id=rows.insert_user(conn, self.user))
        if self.is_changed:
            rows.update_user(conn, self.user)
        return self.user


def arrive(directory: Directory, person: Person, address: str) -> Arrival:
    """What becomes of a person whom the provider has told of; under the lock.

    They are known by issuer and subject alone: a name or e-mail address may be somebody else's
    tomorrow, and here today. Raises NotAllowedError, AccessConflictError.
    """
    client = directory.ways.client
    assert client is not None, "without a provider nobody comes from one"
    known = next(
        (
            user
            for user in directory.users.values()
            if (user.issuer, user.subject) == (person.issuer, person.subject)
        ),
        None,
    )
    if known is None:
        return _new(directory, person, client, address)
    if known.is_disabled:
        raise NotAllowedError(f"{known.name} may not sign in any more; ask an admin")
    role = _role(person, client) if client.decides_roles else known.role
    if role is None:
        users.end_sessions(directory, known.name, Actor(client.name))
        raise _nothing_given(client)
    if role == known.role:
        return Arrival(known, False, (), client.name)
    told = audit.event(
        audit.USER_ROLE_CHANGED, known.name, Actor(client.name, address), user=known.name,
        role=role, was=known.role,
    )  # fmt: skip
    return Arrival(replace(known, role=role), True, (told,), client.name)


def _new(directory: Directory, person: Person, client: OidcClient, address: str) -> Arrival:
    role = _role(person, client)
    if role is None:
        raise _nothing_given(client)
    if users.find(directory, person.name) is not None:
        raise AccessConflictError(
            f"there is a user {person.name!r} already, who signs in otherwise. If that is you, an "
            f"admin can remove it; then you can come in with {client.name}"
        )
    users.check_room(directory)
    now_us = int(time.time() * 1_000_000)
    user = User(
        0, person.name, role, "", False, now_us, now_us, issuer=person.issuer,
        subject=person.subject,
    )  # fmt: skip
    told = audit.event(
        audit.USER_ADDED, user.name, Actor(client.name, address), user=user.name, role=role,
        method="oidc", issuer=user.issuer, sub=user.subject,
    )  # fmt: skip
    return Arrival(user, True, (told,), client.name)


def _role(person: Person, client: OidcClient) -> Role | None:
    return person.role or client.default_role


def _nothing_given(client: OidcClient) -> NotAllowedError:
    return NotAllowedError(
        f"{client.name} knows you, and gives you no role here (claim {client.role_claim!r}); ask "
        "an admin"
    )
