"""What a ``dashboard.view.*`` event says, checked: a view is saved, renamed or deleted."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from eventbus import Event, Pattern
from eventbus.errors import PatternError
from eventbus.timestamps import to_microseconds
from handlers import payload
from handlers.errors import MalformedEventError

SAVED = "dashboard.view.saved"
RENAMED = "dashboard.view.renamed"
DELETED = "dashboard.view.deleted"
MAX_NAME_CHARS = 60


@dataclass(frozen=True, slots=True)
class ViewFact:
    """``type`` is the pattern of a saved view, ``to`` the new name of a renamed one."""

    sequence: int
    time: int
    name: str
    by: str | None
    type: str | None = None
    to: str | None = None


def read(event: Event) -> ViewFact | None:
    """The fact of a recorded event, None for a type that does not touch a view.

    Raises MalformedEventError.
    """
    if event.type not in (SAVED, RENAMED, DELETED):
        return None
    return ViewFact(
        event.sequence or 0,
        to_microseconds(event.time),
        _name(event, "name"),
        payload.label(event.data.get("by")),
        _pattern(event) if event.type == SAVED else None,
        _name(event, "to") if event.type == RENAMED else None,
    )


def key(event: Event) -> str:
    """The ordering key: all views share one, since renaming touches two names."""
    return "views"


def name_problem(name: Any) -> str | None:
    """What is wrong with a view's name; None when nothing is."""
    if not isinstance(name, str) or not name.strip():
        return "must be text that is not empty"
    if name != name.strip() or not name.isprintable():
        return "must have no blanks around it and no control characters"
    if len(name) > MAX_NAME_CHARS:
        return f"must have at most {MAX_NAME_CHARS} characters, not {len(name)}"
    return None


def _name(event: Event, field: str) -> str:
    name = event.data.get(field)
    if problem := name_problem(name):
        raise MalformedEventError(event, field, problem, name)
    return str(name)


def _pattern(event: Event) -> str:
    text = event.data.get("type")
    if not isinstance(text, str):
        raise MalformedEventError(event, "type", "must be a pattern of event types", text)
    try:
        return Pattern(text).text
    except PatternError as error:
        raise MalformedEventError(event, "type", f"must be a pattern ({error})", text) from None
