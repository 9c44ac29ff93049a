"""What a dry run tells: who would be called, what they would change, what they would publish."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Literal

from eventbus.event import Event
from eventbus.patterns import Pattern

Outcome = Literal["would_succeed", "would_fail", "not_run"]


@dataclass(frozen=True, slots=True)
class Matching:
    """A subscription that would get events; ``held`` says why it would not handle them now."""

    name: str
    pattern: Pattern
    held: str | None = None


@dataclass(frozen=True, slots=True)
class Trial:
    """What one handler would do with one event, the one with the id ``event_id``.

    ``reason`` says why it was not run, or what its failure would lead to. ``duration_ms`` is of
    this run; ``error_class``, ``error_message`` and ``traceback`` are of what it raised.
    """

    name: str
    pattern: str
    event_id: str
    outcome: Outcome
    reason: str | None = None
    duration_ms: float | None = None
    error_class: str | None = None
    error_message: str | None = None
    traceback: str | None = None


@dataclass(frozen=True, slots=True)
class StateChange:
    """A row that ``subscription`` would add (no ``before``), change, or remove (no ``after``)."""

    subscription: str
    event_id: str
    table: str
    key: dict[str, Any]
    before: dict[str, Any] | None
    after: dict[str, Any] | None


@dataclass(frozen=True, slots=True)
class Intent:
    """What ``subscription`` would do besides: take back what is scheduled under ``id``."""

    subscription: str
    event_id: str
    kind: Literal["cancel"]
    id: str


@dataclass(slots=True)
class Foreseen:
    """An event that would be recorded, given or further.

    ``by`` is the subscription that would publish it, None for a given one; ``at`` when it would be
    recorded, None for at once. ``is_duplicate``: its source and id are known, so nothing would be
    recorded. ``is_followed``: its own handlers were looked at; ``trials`` are those.
    """

    event: Event
    level: int
    by: str | None = None
    at: datetime | None = None
    is_duplicate: bool = False
    is_followed: bool = False
    trials: list[Trial] = field(default_factory=list)


@dataclass(slots=True)
class DryRunResult:
    """Everything that was found, in the order in which it would happen.

    ``given`` are the events that were asked about, ``further`` those that they would cause;
    ``sequence`` is the newest event of the log whose state this rests on. ``bound`` says what
    ended the dry run early, None when all was followed.
    """

    sequence: int
    given: list[Foreseen] = field(default_factory=list)
    further: list[Foreseen] = field(default_factory=list)
    changes: list[StateChange] = field(default_factory=list)
    intents: list[Intent] = field(default_factory=list)
    bound: str | None = None
    duration_ms: float = 0.0
