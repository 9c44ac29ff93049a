"""What people typed into the fields of a filter; what means nothing is said beside its field."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime

from app.pages.times import parse_moment
from eventbus import Pattern
from eventbus.errors import PatternError


def pattern_in(values: Mapping[str, str], errors: dict[str, str]) -> Pattern | None:
    """The pattern in the field "type", None when it is empty or wrong; then ``errors`` has why."""
    text = values.get("type")
    try:
        return Pattern(text) if text else None
    except PatternError as error:
        errors["type"] = str(error)
        return None


def moment_in(values: Mapping[str, str], errors: dict[str, str], name: str) -> datetime | None:
    """The time or age in the field ``name``; as ``pattern_in``."""
    text = values.get(name)
    try:
        return parse_moment(text) if text else None
    except ValueError as error:
        errors[name] = str(error)
        return None
