"""The kinds of values that a request may carry: how each is read, and its JSON Schema."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any

from eventbus import Pattern
from eventbus.patterns import MAX_TYPE_CHARS
from eventbus.timestamps import parse_time
from eventbus.validation import shown

if TYPE_CHECKING:
    from app.openapi.fields import Field

MAX_SEQUENCE = 2**63 - 1
MAX_TEXT_CHARS = 1_024

Errors = list[dict[str, str]]

_WHOLE = re.compile(r"[0-9]{1,19}")
_SPACE_FOR_PLUS = re.compile(r" (?=\d\d:\d\d$)")
# The tokens of a pattern; that no segment is empty is what it can say, the rest is in the words.
_PATTERN = r"^(\*|#|\+|[A-Za-z0-9_-]+)(\.(\*|#|\+|[A-Za-z0-9_-]+)){0,15}$"


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind of value.

    ``parse`` reads the text of a query parameter and raises ValueError with the rule and what was
    given. ``check`` reads a member of a JSON body: it adds what is wrong to a list, under a JSON
    Pointer, and then returns whatever it likes.
    """

    schema: Mapping[str, Any]
    parse: Callable[[str], Any]
    check: Callable[[Any, str, Errors], Any]


def _texts(schema: Mapping[str, Any], parse: Callable[[str], Any]) -> Kind:
    """A kind that is text in JSON too."""

    def check(value: Any, pointer: str, errors: Errors) -> Any:
        try:
            if not isinstance(value, str):
                raise ValueError(f"must be text, not {shown(value)}")
            return parse(value)
        except ValueError as error:
            errors.append({"pointer": pointer, "detail": str(error)})
            return None

    return Kind({"type": "string", **schema}, parse, check)


def text(most: int = MAX_TEXT_CHARS) -> Kind:
    """Any text that is not blank."""

    def parse(value: str) -> str:
        if not value.strip() or len(value) > most:
            raise ValueError(f"must be text of 1 to {most} characters, not {shown(value)}")
        return value

    return _texts({"minLength": 1, "maxLength": most}, parse)


def name(most: int) -> Kind:
    """Printable text."""

    def parse(value: str) -> str:
        if not value.strip() or not value.isprintable() or len(value) > most:
            raise ValueError(f"must be 1 to {most} printable characters, not {shown(value)}")
        return value

    def check(value: Any, pointer: str, errors: Errors) -> Any:
        try:
            return parse(value if isinstance(value, str) else "")
        except ValueError:
            detail = f"must be 1 to {most} printable characters, not {shown(value)}"
            errors.append({"pointer": pointer, "detail": detail})
            return None

    return Kind({"type": "string", "minLength": 1, "maxLength": most}, parse, check)


def raw() -> Kind:
    """Text that another reader checks."""
    return _texts({"maxLength": MAX_TEXT_CHARS}, lambda value: value)


def unread(schema: Mapping[str, Any]) -> Kind:
    """Any JSON, which another reader checks by the rules that ``schema`` tells of."""
    return Kind(schema, _no_text, lambda value, pointer, errors: value)


def matching(pattern: str, rule: str) -> Kind:
    """Text that fits a regular expression, which ``rule`` says in words."""
    expression = re.compile(pattern)

    def parse(value: str) -> str:
        if not expression.fullmatch(value):
            raise ValueError(f"must be {rule}, not {shown(value)}")
        return value

    return _texts({"pattern": f"^(?:{pattern})$"}, parse)


def whole(low: int = 0, high: int = MAX_SEQUENCE) -> Kind:
    """A whole number within bounds."""

    def parse(value: str) -> int:
        if not _WHOLE.fullmatch(value) or not low <= int(value) <= high:
            raise ValueError(f"must be a whole number from {low} to {high}, not {shown(value)}")
        return int(value)

    def check(value: Any, pointer: str, errors: Errors) -> Any:
        if not isinstance(value, int) or isinstance(value, bool) or not low <= value <= high:
            detail = f"must be a whole number from {low} to {high}, not {shown(value)}"
            errors.append({"pointer": pointer, "detail": detail})
        return value

    return Kind({"type": "integer", "minimum": low, "maximum": high}, parse, check)


def number(above: float, high: float, what: str) -> Kind:
    """A number above ``above`` up to ``high``; ``what`` it counts is in the message."""
    rule = f"must be {what} above {above:g} and up to {high:g}"

    def parse(value: str) -> float:
        try:
            found = float(value)
        except ValueError:
            found = above
        if not above < found <= high:  # not so for NaN either
            raise ValueError(f"{rule}, not {shown(value)}")
        return found

    def check(value: Any, pointer: str, errors: Errors) -> Any:
        is_number = isinstance(value, int | float) and not isinstance(value, bool)
        if not (is_number and above < value <= high):
            errors.append({"pointer": pointer, "detail": f"{rule}, not {shown(value)}"})
            return None
        return float(value)

    schema = {"type": "number", "exclusiveMinimum": above, "maximum": high}
    return Kind(schema, parse, check)


def choice(allowed: Sequence[str]) -> Kind:
    """One of these words."""

    def parse(value: str) -> str:
        if value not in allowed:
            raise ValueError(f"must be one of {', '.join(allowed)}, not {shown(value)}")
        return value

    def check(value: Any, pointer: str, errors: Errors) -> Any:
        if not isinstance(value, str) or value not in allowed:
            detail = f"must be one of {', '.join(allowed)}, not {shown(value)}"
            errors.append({"pointer": pointer, "detail": detail})
        return value

    return Kind({"type": "string", "enum": list(allowed)}, parse, check)


def time() -> Kind:
    """An RFC 3339 date-time; it is read as an aware datetime in UTC."""

    def parse(value: str) -> datetime:
        try:
            # A "+" that was not written as %2B arrives as a space.
            return parse_time(_SPACE_FOR_PLUS.sub("+", value))
        except ValueError as error:
            raise ValueError(f"{error}; given was {shown(value)}") from None

    return _texts({"format": "date-time"}, parse)


def pattern() -> Kind:
    """A pattern of event types; it is read as a Pattern."""
    return _texts({"pattern": _PATTERN, "maxLength": MAX_TYPE_CHARS}, Pattern)


def flag() -> Kind:
    """True or false."""

    def parse(value: str) -> bool:
        if value not in ("true", "false"):
            raise ValueError(f"must be true or false, not {shown(value)}")
        return value == "true"

    def check(value: Any, pointer: str, errors: Errors) -> Any:
        if not isinstance(value, bool):
            detail = f"must be true or false, not {shown(value)}"
            errors.append({"pointer": pointer, "detail": detail})
        return value

    return Kind({"type": "boolean"}, parse, check)


def items(of: Kind, what: str, most: int) -> Kind:
    """An array of 1 to ``most`` values; ``what`` they are is in the message."""

    def check(value: Any, pointer: str, errors: Errors) -> Any:
        if not isinstance(value, list) or not 1 <= len(value) <= most:
            given = f"{len(value)} of them" if isinstance(value, list) else shown(value)
            detail = f"must be an array of 1 to {most} {what}, not {given}"
            errors.append({"pointer": pointer, "detail": detail})
            return []
        return [of.check(each, f"{pointer}/{index}", errors) for index, each in enumerate(value)]

    schema = {"type": "array", "items": of.schema, "minItems": 1, "maxItems": most}
    return Kind(schema, _no_text, check)


def members(fields: Sequence[Field]) -> Kind:
    """An object with these fields and no others; it is read as a dict that has all of them."""
    known = {field.name: field for field in fields}

    def check(value: Any, pointer: str, errors: Errors) -> Any:
        if not isinstance(value, dict):
            errors.append({"pointer": pointer, "detail": f"must be an object, not {shown(value)}"})
            return {}
        for given in value:
            if given not in known:
                # A condition that is misspelt must not select everything.
                shown_name = shown(given)[1:-1].replace("~", "~0").replace("/", "~1")
                detail = f"is not known here; known are {', '.join(known)}"
                errors.append({"pointer": f"{pointer}/{shown_name}", "detail": detail})
        return {each.name: each.member(value.get(each.name), pointer, errors) for each in fields}

    schema: dict[str, Any] = {
        "type": "object",
        "properties": {field.name: field.member_schema() for field in fields},
        "additionalProperties": False,
    }
    if needed := [field.name for field in fields if field.is_needed]:
        schema["required"] = needed
    return Kind(schema, _no_text, check)


def _no_text(value: str) -> Any:
    raise ValueError(f"must be JSON, not {shown(value)}")
