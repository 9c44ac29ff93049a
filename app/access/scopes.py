"""What there is to be allowed, and which roles have which of it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal, get_args

Scope = Literal["read", "payloads", "publish", "consume", "operate", "admin"]
Role = Literal["viewer", "operator", "admin"]
Need = Literal["open", "signed-in", "read", "publish", "consume", "operate", "admin"]
"""What an endpoint asks for: nothing, any valid user or token, or a scope."""

SCOPES: tuple[Scope, ...] = get_args(Scope)
ROLES: tuple[Role, ...] = get_args(Role)

SCOPES_OF: Mapping[Role, frozenset[Scope]] = {
    "viewer": frozenset({"read"}),
    "operator": frozenset({"read", "publish", "consume", "operate"}),
    "admin": frozenset(SCOPES),
}
MEANINGS: Mapping[Scope, str] = {
    "read": "everything that is shown: events, evaluations, alerts, streams, exports",
    "payloads": "see what EVENTBUS_MASK hides in payloads; operate has it, unless "
    "EVENTBUS_MASK_BELOW says otherwise",
    "publish": "publish events, and cancel or preview what is scheduled",
    "consume": "handle events in another process, under a durable subscription's name",
    "operate": "redrive, discard, replay, pause, decide about alerts and evaluations",
    "admin": "users, tokens, imports, retention and rebuilds; has all the others",
}


def role_for(scope: Scope) -> Role:
    """The least role that has a scope."""
    return next(role for role in ROLES if scope in SCOPES_OF[role])
