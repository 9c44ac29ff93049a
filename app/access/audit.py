"""The events that tell who signed in and who changed users and tokens; no secret is in them."""

from __future__ import annotations

from typing import Any

from eventbus import Event
from eventbus.actor import signed

SOURCE = "/eventbus/access"

LOGIN_SUCCEEDED = "access.login.succeeded"
LOGIN_FAILED = "access.login.failed"
SESSIONS_ENDED = "access.sessions.ended"
USER_ADDED = "access.user.added"
USER_ROLE_CHANGED = "access.user.role.changed"
USER_PASSWORD_CHANGED = "access.user.password.changed"
USER_DISABLED = "access.user.disabled"
USER_ENABLED = "access.user.enabled"
USER_REMOVED = "access.user.removed"
TOKEN_CREATED = "access.token.created"
TOKEN_REVOKED = "access.token.revoked"

AUDIT_TYPES = frozenset(
    {
        LOGIN_SUCCEEDED, LOGIN_FAILED, SESSIONS_ENDED, USER_ADDED, USER_ROLE_CHANGED,
        USER_PASSWORD_CHANGED, USER_DISABLED, USER_ENABLED, USER_REMOVED, TOKEN_CREATED,
        TOKEN_REVOKED,
    }
)  # fmt: skip
"""Only the server itself publishes these: who could forge them could hide in them."""


def event(type: str, subject: str, by: str | None = None, **data: Any) -> Event:
    """An event of the audit trail; ``by`` did it, None where the data says so itself."""
    told = {name: value for name, value in data.items() if value is not None}
    if by is not None:
        told |= signed(by)
    return Event.create(type, told, source=SOURCE, subject=subject)
