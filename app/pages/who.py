"""Who sits in front of the screen, for the audit trail: who signed in, or the browser's name."""

from __future__ import annotations

from urllib.parse import quote, unquote

from flask import request
from werkzeug.wrappers import Response

from app.access.guard import actor
from app.alert_decisions import checked_name
from app.problems import ProblemError
from eventbus.actor import Actor

COOKIE = "eventbus_name"
NOBODY_NAMED = "dashboard"  # where nobody signs in, the screen is as much as is known
_YEAR_S = 365 * 24 * 3600


def who() -> Actor:
    """Who has signed in; where nobody does, the name in the browser's cookie, or "dashboard"."""
    try:
        claimed = checked_name(unquote(request.cookies.get(COOKIE, "")))
    except ProblemError:
        claimed = NOBODY_NAMED
    return actor(claimed)


def remember(response: Response, name: str) -> None:
    """Keep ``name`` in the browser; forget it when it is empty. Raises ProblemError."""
    if not name.strip():
        response.delete_cookie(COOKIE, samesite="Lax", httponly=True)
        return
    value = quote(checked_name(name.strip()))
    response.set_cookie(COOKIE, value, max_age=_YEAR_S, samesite="Lax", httponly=True)
