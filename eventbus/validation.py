"""The rules of the envelope; a check adds what is wrong, naming field, rule and value."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from functools import lru_cache
from json.encoder import encode_basestring
from typing import Any

from eventbus.errors import FieldError, PatternError
from eventbus.patterns import MAX_TYPE_CHARS, validate_type
from eventbus.timestamps import EPOCH, parse_time

JSON_CONTENT_TYPE = "application/json"
MAX_EVENT_BYTES = 256 * 1024
MAX_ATTRIBUTE_CHARS = 1024
MAX_NESTING = 64

_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\ud800-\udfff]")
_TRACEPARENT = re.compile(r"[0-9a-f]{2}-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}")
_TRACESTATE_MEMBER = re.compile(
    r"[a-z0-9][a-z0-9_\-*/@]{0,255}=[\x20-\x2b\x2d-\x3c\x3e-\x7e]{0,255}[\x21-\x2b\x2d-\x3c\x3e-\x7e]"
)
_MOST_VENDORS = 32
_ENCODER = json.JSONEncoder(ensure_ascii=False, allow_nan=False, separators=(",", ":"))
encode_json = _ENCODER.encode
_PLAIN = frozenset({str, int, float, bool, type(None)})
_MOST_REMEMBERED = 1_000
_MOST_SHOWN = 80
_SHOWING = json.JSONEncoder(ensure_ascii=False)


def _payload_encoder() -> Callable[[Any], str]:
    """``encode_json`` without what it does anew for every call; each event passes here."""
    make = getattr(json.encoder, "c_make_encoder", None)
    if make is None:  # an interpreter without the C part
        return encode_json
    # The arguments are those of JSONEncoder.iterencode, but for markers: without them a circular
    # payload is a RecursionError, which is caught, instead of a ValueError.
    encode = make(
        None, _ENCODER.default, encode_basestring, None, ":", ",", False, False, False
    )  # fmt: skip
    join = "".join
    return lambda data: join(encode(data, 0))


_encode_payload = _payload_encoder()


@lru_cache(_MOST_REMEMBERED)
def _type_problem(value: str) -> str | None:
    try:
        validate_type(value)
    except PatternError as error:
        return str(error)
    return None


def check_type(value: Any, errors: list[FieldError]) -> None:
    if not isinstance(value, str):
        problem: str | None = f"must be text in dot notation, not {shown(value)}"
    elif len(value) > MAX_TYPE_CHARS:  # not remembered: somebody's megabyte
        problem = _type_problem.__wrapped__(value)
    else:
        problem = _type_problem(value)
    if problem is not None:
        errors.append(FieldError("/type", problem))


def check_attribute(name: str, value: Any, errors: list[FieldError]) -> None:
    if not isinstance(value, str):
        problem: str | None = f"must be text, not {shown(value)}"
    elif not value or value.isspace():
        problem = "must not be empty"
    elif len(value) > MAX_ATTRIBUTE_CHARS:
        problem = f"must have at most {MAX_ATTRIBUTE_CHARS} characters, not {len(value)}"
    else:
        problem = find_control(value)
    if problem is not None:
        errors.append(FieldError(f"/{name}", problem))


def find_control(value: str) -> str | None:
    """What is wrong with a text that has characters in it which no attribute may have."""
    if (found := _CONTROL.search(value)) is None:
        return None
    return (
        f"must not contain control characters or lone surrogates (U+{ord(found[0]):04X} "
        f"at position {found.start()})"
    )


def check_traceparent(value: Any, errors: list[FieldError]) -> None:
    """W3C Trace Context §3.2: version, trace id, parent id and flags in lower-case hex."""
    if not (isinstance(value, str) and _TRACEPARENT.fullmatch(value)):
        rule = "must be a W3C traceparent like 00-<32 hex>-<16 hex>-<2 hex>"
        errors.append(FieldError("/traceparent", f"{rule}, not {shown(value)}"))


def is_tracestate(text: str) -> bool:
    """W3C Trace Context §3.3.1: up to 32 ``key=value``, of which some may be empty."""
    members = [member for part in text.split(",") if (member := part.strip(" \t"))]
    return (
        0 < len(members) <= _MOST_VENDORS
        and len(text) <= MAX_ATTRIBUTE_CHARS
        and all(map(_TRACESTATE_MEMBER.fullmatch, members))
    )


def checked_time(value: Any, errors: list[FieldError]) -> datetime:
    if value is None:
        return datetime.now(UTC)
    try:
        if isinstance(value, datetime):
            if value.tzinfo is None:
                raise ValueError(f"must have a time zone, {value.isoformat()} has none")
            return value.astimezone(UTC)
        if isinstance(value, str):
            return parse_time(value)
        raise ValueError("must be an RFC 3339 date-time")
    except (ValueError, OverflowError) as error:
        errors.append(FieldError("/time", f"{error}; given was {shown(value)}"))
        return EPOCH


def checked_data(data: Any, max_bytes: int, errors: list[FieldError]) -> str:
    if data is None:
        return "{}"
    if type(data) is not dict:
        if not isinstance(data, Mapping):
            errors.append(FieldError("/data", f"must be a JSON object, not {shown(data)}"))
            return "{}"
        data = dict(data)
    try:
        text = _encode_payload(data)
        size = len(text) if text.isascii() else len(text.encode())
    except (TypeError, ValueError, RecursionError):
        _explain(data, errors)
        return "{}"
    if size > max_bytes:
        errors.append(FieldError(
            "/data", f"must be at most {max_bytes} bytes of JSON, not {size}"
        ))  # fmt: skip
        return "{}"
    # Cheap signs that a look at every value is needed; most payloads show none of them.
    if "\\u0000" in text or text.count("[") + text.count("{") > MAX_NESTING or _odd_keys(data):
        _explain(data, errors, certain=False)
    return text


def _odd_keys(value: Any) -> bool:
    """Whether some object in ``value`` has a key that is not text, which JSON would turn into one.

    For nesting within ``MAX_NESTING`` only, as it calls itself.
    """
    if isinstance(value, dict):
        for key in value:
            if type(key) is not str:
                return True
        value = value.values()
    for item in value:
        kind = type(item)
        if kind in _PLAIN:
            continue
        if isinstance(item, dict | list | tuple) and _odd_keys(item):
            return True
    return False


def _explain(data: Any, errors: list[FieldError], *, certain: bool = True) -> None:
    """Name the first value of ``data`` that JSON or this bus does not allow.

    With an explicit stack: hostile nesting must not become a RecursionError here.
    """
    stack: list[tuple[str, Any, int]] = [("/data", data, 1)]
    while stack:
        pointer, value, depth = stack.pop()
        problem = _value_problem(value, depth)
        if problem:
            errors.append(FieldError(pointer, problem))
            return
        if isinstance(value, dict):
            for key, item in value.items():
                if not isinstance(key, str):
                    errors.append(
                        FieldError(
                            pointer, f"has a key that is not text: {repr(key)[:_MOST_SHOWN]}"
                        )
                    )
                    return
                if key_problem := _value_problem(key, depth):
                    errors.append(FieldError(pointer, f"has a key that {key_problem}"))
                    return
                stack.append((f"{pointer}/{pointer_token(key)}", item, depth + 1))
        elif isinstance(value, list | tuple):
            stack.extend((f"{pointer}/{i}", item, depth + 1) for i, item in enumerate(value))
    if certain:
        errors.append(FieldError("/data", "cannot be written as JSON"))


def _value_problem(value: Any, depth: int) -> str | None:
    if value is None or isinstance(value, bool | int):
        return None
    if isinstance(value, float):
        if value != value or value in (float("inf"), float("-inf")):
            return f"must be a finite number, {value} is not JSON"
        return None
    if isinstance(value, str):
        if "\x00" in value:
            return "must not contain the NUL character U+0000"
        if any("\ud800" <= c <= "\udfff" for c in value):
            return "must not contain a lone surrogate"
        return None
    if isinstance(value, dict | list | tuple):
        if depth > MAX_NESTING:
            return f"is nested deeper than {MAX_NESTING} levels"
        return None
    return f"must be JSON: text, number, true, false, null, array or object, not {shown(value)}"


def default_subject(type: str, data: Mapping[str, Any] | None) -> str:
    if data is not None:
        for key in ("eval_id", "task_id"):
            value = data.get(key)
            if isinstance(value, int) and not isinstance(value, bool):
                value = str(value)
            if isinstance(value, str) and value.strip() and len(value) <= MAX_ATTRIBUTE_CHARS:
                return _CONTROL.sub("\ufffd", value)
    return type


def is_json_content_type(value: Any) -> bool:
    return isinstance(value, str) and value.partition(";")[0].strip().lower() == JSON_CONTENT_TYPE


def pointer_token(text: str) -> str:
    return _CONTROL.sub("\ufffd", text[:100]).replace("~", "~0").replace("/", "~1")


def shown(value: Any) -> str:
    """A short, printable form of a wrong value for an error message; JSON, but for text."""
    if value is None or value is True or value is False or isinstance(value, dict | list | tuple):
        text = _beginning(value)
    else:
        text = repr(value)
    text = text.encode("utf-8", "backslashreplace").decode()
    return text if len(text) <= _MOST_SHOWN else text[: _MOST_SHOWN - 3] + "..."


def _beginning(value: Any) -> str:
    """The JSON of a value, no more of it than is shown."""
    text = ""
    try:
        for part in _SHOWING.iterencode(value):  # not all at once: it may be somebody's megabyte
            text += part
            if len(text) > _MOST_SHOWN:
                break
    except (TypeError, ValueError, RecursionError):
        return f"a {type(value).__name__}"
    return "".join(each if each.isprintable() else ascii(each)[1:-1] for each in text)
