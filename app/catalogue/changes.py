"""Declaring types: the API and the page call these, and each change is an event."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from app.alert_decisions import checked_name
from app.problems import ProblemError
from app.runtime import Runtime
from eventbus import Pattern
from eventbus.catalogue import Declaration, Found
from eventbus.errors import DeclarationError, FieldError, PatternError


def declare(parts: Runtime, type: str, value: Mapping[str, Any], by: Any) -> Declaration:
    """Keep what ``value`` says of a type. Raises ProblemError."""
    name = checked_name(by)
    _checked_pattern(type)
    _changeable(parts, type)
    try:
        return parts.catalogue.declare(Declaration.read(value, type=type), name)
    except DeclarationError as error:
        raise wrong(error) from None


def withdraw(parts: Runtime, type: str, by: Any) -> Declaration:
    """Forget what the API declared of a type; returns what that was. Raises ProblemError."""
    name = checked_name(by)
    _changeable(parts, type)
    try:
        found = parts.catalogue.withdraw(type, name)
    except DeclarationError as error:
        raise wrong(error) from None
    if found is None:
        detail = f"the API has declared nothing of {type[:200]!r}"
        if (known := parts.catalogue.get(type)) is not None:
            detail = f"{type} is declared in the {known.origin}, not by the API"
        raise ProblemError(404, "No such declaration", detail)
    return found


def checked(parts: Runtime, type: str, data: Any) -> tuple[Found, list[FieldError]]:
    """What holds for a type, and what a payload of it breaks. Raises ProblemError."""
    if not _checked_pattern(type).is_literal:
        raise ProblemError.parameter("type", f"must be an event type, not the pattern {type!r}")
    return parts.catalogue.find(type), parts.catalogue.violations(type, data)


def wrong(error: DeclarationError) -> ProblemError:
    """A declaration that cannot be used, as an answer."""
    first, rest = error.errors[0], len(error.errors) - 1
    more = f" (and {rest} more)" if rest else ""
    detail = f"{first.pointer or 'the declaration'}: {first.detail}{more}; nothing was declared"
    return ProblemError(400, "Wrong declaration", detail, error.errors)


def _checked_pattern(type: str) -> Pattern:
    try:
        return Pattern(type)
    except PatternError as error:
        raise ProblemError.parameter("type", str(error)) from None


def _changeable(parts: Runtime, type: str) -> None:
    known = parts.catalogue.get(type)
    if known is not None and known.is_read_only:
        detail = f"{type} is declared in the file {known.place}: change it there"
        raise ProblemError(409, "Read-only", detail, [{"pointer": "/type", "detail": detail}])
