"""Sending over HTTP: one POST, bounded in time and size, with no redirect followed."""

from __future__ import annotations

import base64
import http.client
import ssl
from collections.abc import Mapping
from urllib.parse import unquote, urlsplit

from handlers.errors import NotificationError, NotificationRefusedError
from handlers.notify.deadline import deadline

MAX_ANSWER_BYTES = 16_384
_SHOWN_CHARS = 200
# Time-outs and overload of the other side: worth another try, unlike the other 4xx.
_TEMPORARY = frozenset({408, 425, 429})


def post(url: str, body: bytes, headers: Mapping[str, str], timeout_s: float) -> str:
    """POST ``body``; returns what the server answered, in a few words.

    Raises NotificationError when another try may help, NotificationRefusedError when not.
    Redirects are errors: a body with an alert goes where it was configured to go, or nowhere.
    """
    parts = urlsplit(url)
    host = parts.hostname or ""
    connection: http.client.HTTPConnection
    if parts.scheme == "https":
        context = ssl.create_default_context()
        connection = http.client.HTTPSConnection(
            host, parts.port, timeout=timeout_s, context=context
        )
    elif parts.scheme == "http":
        connection = http.client.HTTPConnection(host, parts.port, timeout=timeout_s)
    else:
        raise NotificationRefusedError(f"the scheme {parts.scheme!r} is not http or https")
    target = parts.path or "/"
    if parts.query:
        target += f"?{parts.query}"
    sent = {"User-Agent": "eventbus", **headers, **_authorization(parts.username, parts.password)}
    sock = None  # of its own: the connection lets go of it while the answer is read
    try:
        with deadline(timeout_s, lambda: sock):
            connection.connect()
            sock = connection.sock
            connection.request("POST", target, body, sent)
            answer = connection.getresponse()
            status, reason = answer.status, answer.reason
            location = answer.headers.get("Location", "")
            text = answer.read(MAX_ANSWER_BYTES).decode("utf-8", "replace")
    except (OSError, http.client.HTTPException) as error:
        # Its text may be empty, and never holds the URL.
        why = getattr(error, "strerror", None) or str(error) or type(error).__name__
        raise NotificationError(f"{host}: {why}") from None
    finally:
        connection.close()
    return _outcome(host, status, reason, location, text)


def _outcome(host: str, status: int, reason: str, location: str, text: str) -> str:
    said = " ".join(text.split())[:_SHOWN_CHARS]
    what = f"{host} answered {status} {reason}".rstrip() + (f": {said}" if said else "")
    if 200 <= status < 300:
        return f"{status} {reason}".rstrip()
    if 300 <= status < 400:
        where = urlsplit(location).hostname if location.isascii() else None
        raise NotificationRefusedError(
            f"{host} answered {status}, a redirect to {where or 'elsewhere'}: redirects are not "
            "followed, so configure the URL that it leads to"
        )
    if 400 <= status < 500 and status not in _TEMPORARY:
        raise NotificationRefusedError(what)
    raise NotificationError(what)


def _authorization(user: str | None, password: str | None) -> dict[str, str]:
    if user is None:
        return {}
    pair = f"{unquote(user)}:{unquote(password or '')}"
    return {"Authorization": f"Basic {base64.b64encode(pair.encode()).decode()}"}
