"""Who sits in front of the screen: the name that they gave this browser, for the audit trail."""

from __future__ import annotations

from urllib.parse import quote, unquote

from flask import request
from werkzeug.wrappers import Response

from app.alert_decisions import checked_name
from app.problems import ProblemError

COOKIE = "eventbus_name"
NOBODY_NAMED = "dashboard"  # there is no login yet, so the screen is as much as is known
_YEAR_S = 365 * 24 * 3600


def who() -> str:
    """The name in the browser's cookie, else "dashboard"."""
    try:
        return checked_name(unquote(request.cookies.get(COOKIE, "")))
    except ProblemError:
        return NOBODY_NAMED


def remember(response: Response, name: str) -> None:
    """Keep ``name`` in the browser; forget it when it is empty. Raises ProblemError."""
    if not name.strip():
        response.delete_cookie(COOKIE, samesite="Lax", httponly=True)
        return
    value = quote(checked_name(name.strip()))
    response.set_cookie(COOKIE, value, max_age=_YEAR_S, samesite="Lax", httponly=True)
