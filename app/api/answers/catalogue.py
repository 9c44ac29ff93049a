"""Shapes of answers about event types: what was seen of them, and what is declared."""

from __future__ import annotations

from datetime import datetime
from typing import Any, NotRequired, TypedDict

from eventbus.catalogue import Mode, Origin
from eventbus.log.type_sources import SourceSeen

Json = dict[str, Any]


class TypeSeen(TypedDict):
    """A type: how often it was seen and how many a second now, and what is declared of it.

    `declared` is where that is from: `code`, `file` or `api`; null for nobody.
    """

    type: str
    count: int
    rate: float
    hue: str
    title: str | None
    owner: str | None
    declared: Origin | None
    deprecated: str | None


class PatternSeen(TypedDict):
    """A pattern that matches several of the types."""

    pattern: str
    count: int
    hue: str


class Types(TypedDict):
    """The types that contain what was asked for; `more` were left out."""

    types: list[TypeSeen]
    patterns: list[PatternSeen]
    more: int


class Declared(TypedDict):
    """A declaration; `place` is the file that it is from, or who made it by the API."""

    type: str
    title: NotRequired[str]
    description: NotRequired[str]
    owner: NotRequired[str]
    schema: NotRequired[Json]
    example: NotRequired[Json]
    since: NotRequired[str]
    deprecated: NotRequired[str]
    mode: NotRequired[Mode]
    origin: Origin
    place: str | None
    at: str | None
    read_only: bool


class Violation(TypedDict):
    """One field that a schema does not allow."""

    pointer: str
    detail: str


class LastViolation(TypedDict):
    """The newest event that its schema does not allow; it has a sequence if it was recorded."""

    at: datetime
    source: str
    sequence: int | None
    errors: list[Violation]


class Violations(TypedDict):
    """What was refused, and what was recorded all the same, since the start of the server."""

    since: datetime
    refused: int
    reported: int
    unchecked: int
    last: LastViolation | None


class OneType(TypeSeen):
    """One type, with what its newest events and its declaration say.

    `inferred` is a schema read off recorded payloads, where nobody has declared one.
    """

    declaration: Declared | None
    mode: Mode
    last_at: datetime | None
    sources: list[SourceSeen]
    handlers: list[str]
    violations: Violations
    inferred: Json | None


class Checked(TypedDict):
    """Whether a payload keeps to its type's schema; `checked` is whether there is one."""

    valid: bool
    mode: Mode
    checked: bool
    errors: list[Violation]
