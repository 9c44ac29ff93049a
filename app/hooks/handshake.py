"""The handshake before webhooks: a sender asks whether its events are wanted here, and how fast.

CloudEvents 1.0, HTTP 1.1 Web Hooks for Event Delivery, §4 (abuse protection).
"""

from __future__ import annotations

import re

from flask import Flask, Response, request

from app.access.guard import principal
from app.runtime import runtime

EVENTS_PATH = "/api/events"
_ORIGIN = re.compile(r"[A-Za-z0-9]([A-Za-z0-9.-]{0,251}[A-Za-z0-9])?")
_RATE = re.compile(r"[1-9][0-9]{0,8}")


def register(app: Flask) -> None:
    """Answer ``OPTIONS`` with consent where events are wanted; elsewhere as before."""
    plain = app.make_default_options_response

    def options() -> Response:
        response = plain()
        origin = request.headers.get("WebHook-Request-Origin", "")
        if _ORIGIN.fullmatch(origin) and _is_wanted(origin):
            response.headers["WebHook-Allowed-Origin"] = origin
            response.headers["WebHook-Allowed-Rate"] = _rate()
        return response

    app.make_default_options_response = options  # type: ignore[method-assign]


def _is_wanted(origin: str) -> bool:
    """Who may publish may say so before; a hook's file names who may send to it."""
    if request.path == EVENTS_PATH:
        return principal().may("publish")
    if request.endpoint != "hooks.take":
        return False
    name = (request.view_args or {}).get("name")
    hook = next((each for each in runtime().settings.hooks if each.name == name), None)
    return hook is not None and ("*" in hook.origins or origin.lower() in hook.origins)


def _rate() -> str:
    """Requests a minute (§4.2.2): what is asked for, within what one may make; ``*`` for any."""
    limit = runtime().settings.rate_limit
    if limit is None:
        return "*"
    most = max(1, int(limit.count * 60 / limit.seconds))
    asked = request.headers.get("WebHook-Request-Rate", "")
    return str(min(int(asked), most) if _RATE.fullmatch(asked) else most)
