"""Users, tokens and sessions as values; times are microseconds since the epoch."""

from __future__ import annotations

from dataclasses import dataclass

from app.access.scopes import Role, Scope


@dataclass(frozen=True, slots=True)
class User:
    """Somebody who may sign in: with a password, of which ``password`` is the hash, or by an OpenID
    provider, which knows them as ``subject`` at ``issuer``; then the hash is empty.
    """

    id: int
    name: str
    role: Role
    password: str
    is_disabled: bool
    created_us: int
    password_us: int
    issuer: str | None = None
    subject: str | None = None

    @property
    def key(self) -> str:
        """What two users never share."""
        return name_key(self.name)


@dataclass(frozen=True, slots=True)
class Token:
    """What a program proves itself with; of the secret itself there is only the digest."""

    id: int
    name: str
    digest: str
    scopes: frozenset[Scope]
    pattern: str | None
    created_by: str
    created_us: int
    expires_us: int | None


@dataclass(frozen=True, slots=True)
class Session:
    """A browser in which a user has signed in, from ``address``; ``agent`` is its own word."""

    digest: str
    user: int
    created_us: int
    address: str
    agent: str


@dataclass(frozen=True, slots=True)
class Stored:
    """All there is, and when users, tokens and sessions were last seen, by id and digest."""

    users: list[User]
    tokens: list[Token]
    sessions: list[Session]
    users_seen: dict[int, int]
    tokens_used: dict[int, int]
    sessions_seen: dict[str, int]


def name_key(name: str) -> str:
    """Ana and ana are the same person."""
    return name.casefold()
