"""Who asks: a user, a token, this machine's own command line, everybody, or nobody."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from app.access.scopes import SCOPES, Need, Role, Scope
from eventbus import Pattern

Kind = Literal["user", "token", "local", "everybody", "nobody"]


@dataclass(frozen=True, slots=True)
class Principal:
    """Somebody and what they may do.

    ``id`` is of the user or token. ``session`` is the digest of a user's session; ``digest`` that
    of a token. ``pattern`` bounds the types that a token may publish; ``expires_at`` is in seconds
    since the epoch.
    """

    kind: Kind
    name: str = ""
    scopes: frozenset[Scope] = frozenset()
    id: int = 0
    role: Role | None = None
    session: str | None = None
    digest: str | None = None
    pattern: Pattern | None = None
    expires_at: float | None = None

    def may(self, need: Need) -> bool:
        """Whether they have what an endpoint asks for."""
        if need == "open":
            return True
        if need == "signed-in":
            return self.kind != "nobody"
        return need in self.scopes

    @property
    def key(self) -> tuple[str, int]:
        """The same for all sessions of a user and all uses of a token."""
        return (self.kind, self.id)

    @property
    def shown(self) -> str:
        """The name as it is told to others."""
        return f"token {self.name}" if self.kind == "token" else self.name


ALL: frozenset[Scope] = frozenset(SCOPES)
EVERYBODY = Principal("everybody", scopes=ALL)
"""While there is neither user nor token: whoever reaches the server."""
NOBODY = Principal("nobody")
LOCAL = Principal("local", "command line", ALL, role="admin")
"""The command line on the machine of the database, which proves itself by a file beside it."""
