"""Extension attributes of CloudEvents, of which the bus knows no meaning: checked, and kept."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from eventbus.errors import FieldError
from eventbus.validation import MAX_ATTRIBUTE_CHARS, encode_json, find_control, pointer_token, shown

Extension = bool | int | str
"""The value of one (CloudEvents 1.0.2, "Type System"); what else there is comes as text."""

MAX_EXTENSIONS = 32
MAX_NAME_CHARS = 64
MOST_INTEGER = 2**31 - 1
# Attributes that mean something here, or in the JSON format, without being an extension.
RESERVED = frozenset({
    "at", "causationdepth", "causationid", "correlationid", "data", "datacontenttype",
    "dataremoved", "dataschema", "delay", "id", "recordedtime", "sequence", "source",
    "specversion", "subject", "time", "traceparent", "type",
})  # fmt: skip

_NAME = re.compile(r"[a-z0-9]+")


def check_extensions(values: Any, errors: list[FieldError]) -> str | None:
    """``values`` as compact JSON, sorted by name; None for none.

    A name is of lower-case letters and digits (CloudEvents 1.0.2, "Naming Conventions"), a value
    is text, true, false or a whole number of 32 bits; null is as if it were not there (JSON format
    1.0.2 §2.2). Adds to ``errors`` what is wrong, with the name as its pointer.
    """
    if not isinstance(values, Mapping):
        errors.append(FieldError("/extensions", f"must be an object, not {shown(values)}"))
        return None
    kept: dict[str, Extension] = {}
    for name, value in values.items():
        if len(kept) >= MAX_EXTENSIONS:
            rule = f"is one more than the {MAX_EXTENSIONS} extension attributes an event may have"
            errors.append(FieldError(f"/{pointer_token(str(name)[:MAX_NAME_CHARS])}", rule))
            break
        problem = _name_problem(name) or _value_problem(value)
        if problem is not None:
            errors.append(FieldError(f"/{pointer_token(str(name)[:MAX_NAME_CHARS])}", problem))
        if value is not None:
            kept[name] = value
    return encode_json(dict(sorted(kept.items()))) if kept and not errors else None


def _name_problem(name: Any) -> str | None:
    if not isinstance(name, str) or not _NAME.fullmatch(name):
        return (
            "is not an attribute of an event here, nor the name of an extension, which must be of "
            "lower-case letters and digits"
        )
    if name in RESERVED:
        return "cannot be an extension: the bus or CloudEvents gives the name another meaning"
    if len(name) > MAX_NAME_CHARS:
        return f"must have a name of at most {MAX_NAME_CHARS} characters, not {len(name)}"
    return None


def _value_problem(value: Any) -> str | None:
    if value is None or isinstance(value, bool):
        return None
    if isinstance(value, int):
        if -MOST_INTEGER - 1 <= value <= MOST_INTEGER:
            return None
        return f"must be a whole number of 32 bits, or text, not {shown(value)}"
    if not isinstance(value, str):
        return f"must be text, a whole number, true or false, not {shown(value)}"
    if len(value) > MAX_ATTRIBUTE_CHARS:
        return f"must have at most {MAX_ATTRIBUTE_CHARS} characters, not {len(value)}"
    return find_control(value)


def as_text(value: Extension) -> str:
    """The canonical string of a value, which headers bear (CloudEvents 1.0.2, "Type System")."""
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value)


def allowed(values: Mapping[str, Any]) -> dict[str, Extension]:
    """Those that an event may have, the first by name; of messages that are not refused for it."""
    names = sorted(
        name for name, value in values.items()
        if value is not None and not (_name_problem(name) or _value_problem(value))
    )  # fmt: skip
    return {name: values[name] for name in names[:MAX_EXTENSIONS]}
