"""The form for delivering recorded events again to one handler: what was typed, and its meaning."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TypeVar

from app.api.selections import MAX_RATE, MAX_REASON_CHARS
from app.openapi.kinds import MAX_SEQUENCE
from app.pages.times import parse_moment
from eventbus import Pattern
from eventbus.log import Replayed
from eventbus.operations import Preview

FIELDS = ("first", "last", "since", "until", "type", "rate", "reason")
_MOST_CHARS = 1_024

T = TypeVar("T")


@dataclass(slots=True)
class ReplayForm:
    """``errors`` by field; without any, ``replayed`` and ``rate`` (events a second) hold.

    ``preview`` is there once it was counted.
    """

    values: dict[str, str] = field(default_factory=dict)
    errors: dict[str, str] = field(default_factory=dict)
    replayed: Replayed | None = None
    rate: float | None = None
    preview: Preview | None = None

    @property
    def reason(self) -> str | None:
        return self.values.get("reason") or None

    @classmethod
    def read(cls, subscription: str, given: Mapping[str, str]) -> ReplayForm:
        """What a person has typed."""
        form = cls({name: given.get(name, "").strip() for name in FIELDS})
        for name in FIELDS:
            most = MAX_REASON_CHARS if name == "reason" else _MOST_CHARS
            if len(form.values[name]) > most:
                form.errors[name] = f"must have at most {most} characters"
        first, last = form._read("first", _sequence), form._read("last", _sequence)
        since, until = form._read("since", parse_moment), form._read("until", parse_moment)
        pattern = form._read("type", Pattern)
        form.rate = form._read("rate", parse_rate)
        if first is not None and last is not None and first > last:
            form.errors["last"] = f"must not be before the first, {first}"
        if since is not None and until is not None and since >= until:
            form.errors["until"] = "must be after the time from which on"
        if first is None and since is None and not form.errors:
            form.errors["first"] = "say from where: a sequence here, or a time"
        form.replayed = Replayed(subscription, pattern, first, last, since, until)
        return form

    def _read(self, name: str, read: Callable[[str], T]) -> T | None:
        if not self.values[name] or name in self.errors:
            return None
        try:
            return read(self.values[name])
        except ValueError as error:
            self.errors[name] = str(error)
            return None


def _sequence(text: str) -> int:
    text = text.removeprefix("#").replace("\u202f", "")
    number = int(text) if text.isascii() and text.isdecimal() and len(text) < 20 else 0
    if not 1 <= number <= MAX_SEQUENCE:
        raise ValueError(f"must be a sequence, a whole number from 1, not {text[:40]!r}")
    return number


def parse_rate(text: str) -> float:
    """Events a second. Raises ValueError, which says what it must be."""
    try:
        number = float(text)
    except ValueError:
        number = -1.0
    if not 0 < number <= MAX_RATE:  # not so for NaN either
        raise ValueError(f"must be events a second above 0 and up to {MAX_RATE:g}")
    return number
