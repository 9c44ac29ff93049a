"""What every page is rendered with, and the small questions that several pages ask of a request."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any
from urllib.parse import urlencode, urlsplit

from flask import redirect, render_template, request
from werkzeug.wrappers import Response

from app.pages.attention import attention
from app.runtime import runtime
from eventbus.timestamps import format_time

CURL = "curl -X POST {base}/api/events \\\n  -H 'content-type: application/json' \\\n  -d '{body}'"
_FIRST_EVENT = '{"type": "evaluation.started", "data": {"eval_id": "eval-1", "total": 50}}'


def render(template: str, page: str, **context: Any) -> str:
    """A whole page; ``page`` is the name of the entry of the navigation that is current."""
    return render_template(
        template,
        page=page,
        server_now=format_time(datetime.now(UTC)),
        # Beside a page of the past, numbers of now would be taken for the past's.
        attention=None if context.get("is_past") else attention(runtime().handlers),
        **context,
    )


def is_htmx() -> bool:
    """Whether htmx asks, so that a fragment is wanted and not a page."""
    return request.headers.get("HX-Request") == "true"


def example_command(body: str = _FIRST_EVENT) -> str:
    """A command that publishes an event to this very server; by default a first one."""
    return CURL.format(base=request.host_url.rstrip("/"), body=body)


def back_to(path: str) -> Response:
    """After a form: to the form's ``next`` when that is a path of this site, else to ``path``.

    303, so that the browser asks for the page with GET (RFC 9110 §15.4.4).
    """
    wanted = request.form.get("next", "")
    return redirect(wanted if is_local(wanted) else path, 303)


def is_local(path: str) -> bool:
    """Whether a path from outside leads to this site, in every browser's reading of it."""
    is_plain = path.isprintable() and "\\" not in path  # browsers drop tabs, and turn \\ into /
    return is_plain and path.startswith("/") and not urlsplit(path).netloc


def with_query(path: str, **values: Any) -> str:
    """``path`` with the values that are set as its query."""
    query = urlencode({name: value for name, value in values.items() if value not in (None, "")})
    return f"{path}{'&' if '?' in path else '?'}{query}" if query else path
