"""The text of query parameters and the object of small bodies, before their kinds are looked at."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any

from flask import request

from app.openapi.kinds import MAX_TEXT_CHARS
from app.problems import ProblemError
from eventbus.errors import JsonTextError
from eventbus.json_reader import read_json
from eventbus.validation import shown

DEFAULT_LIMIT = 50
MAX_LIMIT = 1_000
MAX_BODY_BYTES = 16_384

_UNWRITABLE = re.compile("[\x00\ud800-\udfff]")
_UNREADABLE = re.compile(r"[\x00-\x1f\x7f\ud800-\udfff]")


def text(name: str) -> str | None:
    """The parameter as text; None when it is missing or empty."""
    value = request.args.get(name, "")
    if len(value) > MAX_TEXT_CHARS:
        raise ProblemError.parameter(
            name, f"must have at most {MAX_TEXT_CHARS} characters, not {len(value)}"
        )
    if found := _UNREADABLE.search(value):
        raise ProblemError.parameter(
            name, f"must not contain the control character U+{ord(found[0]):04X}"
        )
    return value or None


def body_object(most_bytes: int = MAX_BODY_BYTES) -> dict[str, Any]:
    """The small JSON object, or the form, that a request carries; empty for no body.

    Raises ProblemError for other JSON (400), a large body (413), another content type (415).
    """
    if request.mimetype in ("application/x-www-form-urlencoded", "multipart/form-data"):
        return request.form.to_dict()
    refuse_coding()
    request.max_content_length = most_bytes
    body = request.get_data()
    if not body:
        return {}
    if request.mimetype not in ("application/json", ""):
        raise ProblemError(
            415,
            "Unsupported Media Type",
            f"the content type must be application/json, not {shown(request.mimetype)}",
            headers={"Accept-Post": "application/json"},
        )
    return json_object(body)


def json_object(body: bytes | str) -> dict[str, Any]:
    """The JSON object that the text is. Raises the 400 that says what is wrong where."""
    try:
        value = read_json(body)
    except JsonTextError as error:
        raise ProblemError(
            400, "Wrong body", f"the body {error}", [{"pointer": "", "detail": str(error)}]
        ) from None
    if not isinstance(value, dict):
        detail = f"must be a JSON object, not {shown(value)}"
        raise ProblemError(
            400, "Wrong body", f"the body {detail}", [{"pointer": "", "detail": detail}]
        )
    has_escapes = b"\\u" in body if isinstance(body, bytes) else "\\u" in body
    if has_escapes and (found := _unwritable(value)) is not None:
        pointer, detail = found
        raise ProblemError(
            400, "Wrong body", f"{pointer} {detail}", [{"pointer": pointer, "detail": detail}]
        )
    return value


def _unwritable(value: Any, pointer: str = "") -> tuple[str, str] | None:
    """Where text is that JSON can escape and no database takes, and what is wrong with it.

    RFC 8259 §8.2 leaves open what a lone surrogate means; PostgreSQL has no NUL in text.
    """
    if isinstance(value, str):
        found = _UNWRITABLE.search(value)
        return found and (pointer, f"must not contain U+{ord(found[0]):04X}")
    members: Iterable[tuple[Any, Any]] = ()
    if isinstance(value, dict):
        members = value.items()
    elif isinstance(value, list):
        members = enumerate(value)
    for name, member in members:
        inner = f"{pointer}/{name}"
        if isinstance(name, str) and _UNWRITABLE.search(name):
            return pointer, f"has a member with a name that no text can have: {shown(name)}"
        if (wrong := _unwritable(member, inner)) is not None:
            return wrong
    return None


def refuse_coding() -> None:
    """Refuse a compressed body: what it would become has no bound that it tells.

    RFC 9110 §15.5.16: the answer says which codings are taken, none. Raises ProblemError.
    """
    coding = request.environ.get("HTTP_CONTENT_ENCODING", "identity")
    if coding.strip().lower() not in ("identity", ""):
        raise ProblemError(
            415,
            "Unsupported Media Type",
            f"the body must not be compressed; its Content-Encoding is {shown(coding)}",
            headers={"Accept-Encoding": "identity"},
        )
