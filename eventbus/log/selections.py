"""Which deliveries, or which events, an operation is about; as values and as the API's JSON."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any, Protocol

from eventbus.errors import OperationError
from eventbus.patterns import Pattern
from eventbus.timestamps import format_time, parse_time


class Chosen(Protocol):
    """What an operation is about."""

    def to_dict(self) -> dict[str, Any]:
        """As it is kept and told, in JSON."""
        ...


@dataclass(frozen=True, slots=True)
class Selection:
    """Which deliveries are meant; every given condition must hold.

    ``since`` (inclusive) and ``until`` (exclusive) bound when the last attempt ended: of a dead
    letter, when it died. ``deliveries`` names single ones by sequence and subscription.
    """

    pattern: Pattern | None = None
    subscription: str | None = None
    error_class: str | None = None
    since: datetime | None = None
    until: datetime | None = None
    deliveries: tuple[tuple[int, str], ...] | None = None

    def __post_init__(self) -> None:
        """A pattern may be given as text. Raises PatternError, OperationError."""
        _check(self, "pattern", Pattern)
        for name in ("subscription", "error_class"):
            _check(self, name, str)
        for name in ("since", "until"):
            _check(self, name, datetime)

    def to_dict(self) -> dict[str, Any]:
        """As the API writes it, without what is not given."""
        if self.deliveries is not None:
            return {"deliveries": [
                {"sequence": sequence, "subscription": name} for sequence, name in self.deliveries
            ]}  # fmt: skip
        return _given(
            type=self.pattern and self.pattern.text,
            subscription=self.subscription,
            error_class=self.error_class,
            since=self.since and format_time(self.since),
            until=self.until and format_time(self.until),
        )

    @classmethod
    def from_dict(cls, given: dict[str, Any]) -> Selection:
        """What ``to_dict`` gave."""
        named = given.get("deliveries")
        return cls(
            pattern=Pattern(given["type"]) if "type" in given else None,
            subscription=given.get("subscription"),
            error_class=given.get("error_class"),
            since=parse_time(given["since"]) if "since" in given else None,
            until=parse_time(given["until"]) if "until" in given else None,
            deliveries=None if named is None else tuple(
                (one["sequence"], one["subscription"]) for one in named
            ),
        )  # fmt: skip


@dataclass(frozen=True, slots=True)
class Replayed:
    """Which recorded events one subscription is to get again; every given condition must hold.

    ``first`` and ``last`` are sequences (inclusive); ``since`` (inclusive) and ``until``
    (exclusive) bound the event's time. Only what its own pattern matches is replayed.
    """

    subscription: str
    pattern: Pattern | None = None
    first: int | None = None
    last: int | None = None
    since: datetime | None = None
    until: datetime | None = None

    def __post_init__(self) -> None:
        """A pattern may be given as text. Raises PatternError, OperationError."""
        _check(self, "subscription", str, is_needed=True)
        _check(self, "pattern", Pattern)
        for name in ("first", "last"):
            _check(self, name, int)
        for name in ("since", "until"):
            _check(self, name, datetime)

    def check_ends(self) -> None:
        """Raises OperationError when it ends before it begins."""
        for before, after in (("first", "last"), ("since", "until")):
            begin, end = getattr(self, before), getattr(self, after)
            if None not in (begin, end) and begin > end:
                raise OperationError(
                    f"{after} must not be before {before}: {end} is before {begin}"
                )

    def to_dict(self) -> dict[str, Any]:
        """As the API writes it, without what is not given."""
        return _given(
            subscription=self.subscription,
            type=self.pattern and self.pattern.text,
            first=self.first,
            last=self.last,
            since=self.since and format_time(self.since),
            until=self.until and format_time(self.until),
        )

    @classmethod
    def from_dict(cls, given: dict[str, Any]) -> Replayed:
        """What ``to_dict`` gave."""
        return cls(
            given["subscription"],
            Pattern(given["type"]) if "type" in given else None,
            given.get("first"),
            given.get("last"),
            parse_time(given["since"]) if "since" in given else None,
            parse_time(given["until"]) if "until" in given else None,
        )


_WORDS = {
    str: "text", int: "a whole number", datetime: "a datetime with a time zone",
    Pattern: "a pattern",
}  # fmt: skip


def _check(owner: object, name: str, kind: type, *, is_needed: bool = False) -> None:
    value = getattr(owner, name)
    if value is None and not is_needed:
        return
    if kind is Pattern and isinstance(value, str):
        object.__setattr__(owner, name, Pattern(value))
        return
    is_right = isinstance(value, kind) and not isinstance(value, bool)
    if is_right and isinstance(value, datetime):
        is_right = value.tzinfo is not None
    if not is_right:
        raise OperationError(f"{name} must be {_WORDS[kind]}, not {value!r}")


def _given(**members: Any) -> dict[str, Any]:
    return {name: value for name, value in members.items() if value is not None}
