"""Who a provider says that somebody is: the few claims that are used, checked."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from app.access.errors import SignOnError
from app.access.oidc.client import OidcClient, claim
from app.access.scopes import Role
from app.access.users import NAME
from eventbus.validation import shown


@dataclass(frozen=True, slots=True)
class Person:
    """``issuer`` and ``subject`` together are the one identity that stays (OpenID Connect Core 1.0
    §5.7); ``name`` is what they are called, ``role`` what a rule gives them.
    """

    issuer: str
    subject: str
    name: str
    role: Role | None

    @classmethod
    def of(cls, claims: Mapping[str, Any], client: OidcClient) -> Person:
        """Read verified claims. Raises SignOnError."""
        name = claim(claims, client.name_claim)
        if name is None:
            raise SignOnError(
                f"{client.name} does not say who you are: the claim {client.name_claim!r} "
                "(EVENTBUS_OIDC_NAME_CLAIM) is missing"
            )
        if not isinstance(name, str) or not re.fullmatch(NAME, name):
            raise SignOnError(
                f"{client.name} calls you {shown(name)} (claim {client.name_claim!r}), which is no "
                "name here: 1 to 64 letters, digits or . _ @ + -"
            )
        # An address that nobody has confirmed may be somebody else's (§5.1).
        if client.name_claim == "email" and claims.get("email_verified", True) is not True:
            raise SignOnError(f"{client.name} has not verified your e-mail address")
        return cls(client.issuer, claims["sub"], name, client.role_of(claims))
