"""Which deliveries, or which events, an operation is about; as values and as the API's JSON."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from eventbus.patterns import Pattern
from eventbus.timestamps import format_time, parse_time


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


def _given(**members: Any) -> dict[str, Any]:
    return {name: value for name, value in members.items() if value is not None}
