"""Sending over HTTP, and whether what a server answers means that another try may help."""

from __future__ import annotations

from collections.abc import Mapping
from urllib.parse import urlsplit

from handlers import http_post
from handlers.errors import NotificationError, NotificationRefusedError, PostError

# Time-outs and overload of the other side: worth another try, unlike the other 4xx.
_TEMPORARY = frozenset({408, 425, 429})


def post(url: str, body: bytes, headers: Mapping[str, str], timeout_s: float) -> str:
    """POST ``body``; returns what the server answered, in a few words.

    Raises NotificationError when another try may help, NotificationRefusedError when not.
    Redirects are errors: a body with an alert goes where it was configured to go, or nowhere.
    """
    try:
        answer = http_post.post(url, body, headers, timeout_s)
    except PostError as error:
        raise NotificationError(str(error)) from None
    if 200 <= answer.status < 300:
        return answer.status_line
    if 300 <= answer.status < 400:
        location = answer.headers.get("location", "")
        where = urlsplit(location).hostname if location.isascii() else None
        raise NotificationRefusedError(
            f"{answer.host} answered {answer.status}, a redirect to {where or 'elsewhere'}: "
            "redirects are not followed, so configure the URL that it leads to"
        )
    if 400 <= answer.status < 500 and answer.status not in _TEMPORARY:
        raise NotificationRefusedError(answer.shown)
    raise NotificationError(answer.shown)
