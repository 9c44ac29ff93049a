"""What this server is to an OpenID provider (a Client), and what it makes of what that says."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from app.access.scopes import ROLES, Role

if TYPE_CHECKING:
    from app.access.values import User
    from app.config import Settings


@dataclass(frozen=True, slots=True)
class RoleRule:
    """Who has ``value`` in the claim of roles has this role."""

    value: str
    role: Role

    def __str__(self) -> str:
        return f"{self.value}={self.role}"


@dataclass(frozen=True, slots=True)
class OidcClient:
    """A registration at a provider (OpenID Connect Core 1.0 §1.2), and how its claims are read.

    ``name`` is what people call the provider. ``audiences`` are others that an ID token may be
    for beside this client.
    """

    issuer: str
    id: str
    secret: str = field(default="", repr=False)
    name: str = "single sign-on"
    scopes: tuple[str, ...] = ("openid", "profile", "email")
    audiences: tuple[str, ...] = ()
    name_claim: str = "preferred_username"
    role_claim: str = "groups"
    roles: tuple[RoleRule, ...] = ()
    default_role: Role | None = None
    signs_out: bool = False
    """Whether who signs out here is asked by the provider to sign out there as well."""

    @property
    def decides_roles(self) -> bool:
        """Whether the provider says who has which role; else only who comes in."""
        return bool(self.roles)

    def role_of(self, claims: Mapping[str, Any]) -> Role | None:
        """The highest role that the claims have by a rule."""
        values = _values(claim(claims, self.role_claim))
        given = {rule.role for rule in self.roles if rule.value in values}
        return next((role for role in reversed(ROLES) if role in given), None)

    def needs_more(self, claims: Mapping[str, Any]) -> bool:
        """Whether something is missing that the UserInfo endpoint may tell (§5.4)."""
        wanted = [self.name_claim, *([self.role_claim] if self.roles else [])]
        return any(claim(claims, name) is None for name in wanted)


def client_of(settings: Settings) -> OidcClient | None:
    """The registration that the settings tell; None without one."""
    if not settings.oidc_issuer:
        return None
    return OidcClient(
        issuer=settings.oidc_issuer,
        id=settings.oidc_client_id,
        secret=settings.oidc_client_secret,
        name=settings.oidc_name,
        scopes=tuple(dict.fromkeys(("openid", *settings.oidc_scopes))),
        audiences=settings.oidc_audiences,
        name_claim=settings.oidc_name_claim,
        role_claim=settings.oidc_role_claim,
        roles=settings.oidc_roles,
        default_role=settings.oidc_default_role,
        signs_out=settings.oidc_sign_out,
    )


@dataclass(frozen=True, slots=True)
class WaysIn:
    """How people may sign in here: with a password, and by the provider of ``client``."""

    has_passwords: bool = True
    client: OidcClient | None = None

    def is_open_to(self, user: User) -> bool:
        """Whether a user can sign in by their way; who cannot has no session either."""
        if user.issuer is None:
            return self.has_passwords
        return self.client is not None and self.client.issuer == user.issuer

    def decides_role_of(self, user: User) -> bool:
        """Whether the provider gives a user's role anew with each login."""
        return user.issuer is not None and self.client is not None and self.client.decides_roles


def claim(claims: Mapping[str, Any], name: str) -> Any:
    """A claim by its name, or one inside another by a JSON Pointer (RFC 6901)."""
    if not name.startswith("/"):
        return claims.get(name)
    found: Any = claims
    for part in name[1:].split("/"):
        key = part.replace("~1", "/").replace("~0", "~")
        if not isinstance(found, Mapping):
            return None
        found = found.get(key)
    return found


def _values(found: Any) -> frozenset[str]:
    """A text, the texts of a list, or the names of an object's members."""
    if isinstance(found, str):
        return frozenset({found})
    if isinstance(found, list | tuple | Mapping):
        return frozenset(each for each in found if isinstance(each, str))
    return frozenset()
