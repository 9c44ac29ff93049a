"""What a body says about which deliveries or events are meant; every wrong member is named."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import Any, TypeVar

from app.api.parameters import MAX_SEQUENCE, MAX_TEXT_CHARS
from app.problems import ProblemError
from app.runtime import runtime
from eventbus import Pattern
from eventbus.log import Replayed, Selection
from eventbus.timestamps import parse_time
from eventbus.validation import shown

MAX_DELIVERIES = 1_000
MAX_BODY_BYTES = 512 * 1024
MAX_REASON_CHARS = 1_000
MAX_RATE = 100_000.0

_FILTER = ("type", "subscription", "error_class", "since", "until")
_REPLAY = ("subscription", "type", "first", "last", "since", "until")
_COMMON = ("dry_run", "by", "reason")

T = TypeVar("T")


class Members:
    """Reads the members of an object, and collects what is wrong with each."""

    def __init__(self, given: dict[str, Any], prefix: str, allowed: tuple[str, ...]) -> None:
        self.errors: list[dict[str, str]] = []
        self._given = given
        self._prefix = prefix
        for name in given:
            if name not in allowed:
                # A condition that is misspelt must not select everything.
                self.wrong(name, f"is not known here; known are {', '.join(allowed)}")

    def wrong(self, name: str, detail: str) -> None:
        self.errors.append({"pointer": f"{self._prefix}/{name}", "detail": f"{detail}"})

    def text(self, name: str, most: int = MAX_TEXT_CHARS) -> str | None:
        value = self._given.get(name)
        if value is None:
            return None
        if not isinstance(value, str) or not value.strip() or len(value) > most:
            self.wrong(name, f"must be text of 1 to {most} characters, not {shown(value)}")
            return None
        return value

    def whole(self, name: str) -> int | None:
        value = self._given.get(name)
        if value is None:
            return None
        if not isinstance(value, int) or isinstance(value, bool) or not 1 <= value <= MAX_SEQUENCE:
            self.wrong(name, f"must be a sequence, a whole number from 1, not {shown(value)}")
            return None
        return value

    def time(self, name: str) -> datetime | None:
        return self._read(name, parse_time)

    def pattern(self, name: str = "type") -> Pattern | None:
        return self._read(name, Pattern)

    def subscription(self, name: str = "subscription") -> str | None:
        value = self.text(name)
        if value is not None and not runtime().bus.log.delivery_lists.subscription_ids(value):
            self.wrong(name, f"no durable subscription is named {shown(value)}")
        return value

    def _read(self, name: str, read: Callable[[str], T]) -> T | None:
        value = self.text(name)
        if value is None:
            return None
        try:
            return read(value)
        except ValueError as error:
            self.wrong(name, f"{error}; given was {shown(value)}")
            return None


def selection(body: dict[str, Any]) -> Selection:
    """The ``deliveries`` or the ``filter`` of a body; one of them is needed."""
    members = Members(body, "", ("deliveries", "filter", *_COMMON))
    named, conditions = body.get("deliveries"), body.get("filter")
    if (named is None) == (conditions is None):
        members.wrong("filter", 'give either "deliveries" or "filter"; {} selects all dead letters')
        raise _problem(members.errors)
    if named is not None:
        found = Selection(deliveries=_deliveries(named, members))
    elif not isinstance(conditions, dict):
        members.wrong("filter", f"must be an object, not {shown(conditions)}")
        raise _problem(members.errors)
    else:
        inner = Members(conditions, "/filter", _FILTER)
        found = Selection(
            inner.pattern(), inner.subscription(), inner.text("error_class"),
            inner.time("since"), inner.time("until"),
        )  # fmt: skip
        members.errors += inner.errors
    if members.errors:
        raise _problem(members.errors)
    return found


def replayed(body: dict[str, Any]) -> tuple[Replayed, float | None]:
    """The events that a body wants replayed, and at how many a second."""
    members = Members(body, "", (*_REPLAY, "rate", *_COMMON))
    name = members.subscription()
    if body.get("subscription") is None:
        members.wrong("subscription", "is needed: a replay is to one subscription")
    rate = body.get("rate")
    is_number = isinstance(rate, int | float) and not isinstance(rate, bool)
    if rate is not None and not (is_number and 0 < rate <= MAX_RATE):
        detail = f"must be events a second above 0 and up to {MAX_RATE:g}, not {shown(rate)}"
        members.wrong("rate", detail)
    found = Replayed(
        name or "", members.pattern(), members.whole("first"), members.whole("last"),
        members.time("since"), members.time("until"),
    )  # fmt: skip
    if members.errors:
        raise _problem(members.errors)
    return found, None if rate is None else float(rate)


def dry_run(body: dict[str, Any]) -> bool:
    """Whether the body only asks what would happen."""
    value = body.get("dry_run", False)
    if not isinstance(value, bool):
        detail = f"must be true or false, not {shown(value)}"
        raise _problem([{"pointer": "/dry_run", "detail": detail}])
    return value


def reason(body: dict[str, Any], *, is_needed: bool = False) -> str | None:
    """Why it is done."""
    members = Members({"reason": body.get("reason")}, "", ("reason",))
    value = members.text("reason", MAX_REASON_CHARS)
    if value is None and is_needed and not members.errors:
        members.wrong("reason", "is needed: say why nobody will miss these deliveries")
    if members.errors:
        raise _problem(members.errors)
    return value


def _deliveries(named: Any, members: Members) -> tuple[tuple[int, str], ...]:
    if not isinstance(named, list) or not 1 <= len(named) <= MAX_DELIVERIES:
        detail = f"must be an array of 1 to {MAX_DELIVERIES} deliveries"
        members.wrong("deliveries", f"{detail}, not {shown(named)}")
        return ()
    found: list[tuple[int, str]] = []
    for index, one in enumerate(named):
        prefix = f"/deliveries/{index}"
        if not isinstance(one, dict):
            members.errors.append({"pointer": prefix, "detail": f"must be an object: {shown(one)}"})
            continue
        inner = Members(one, prefix, ("sequence", "subscription"))
        sequence, name = inner.whole("sequence"), inner.text("subscription")
        for needed in ("sequence", "subscription"):
            if one.get(needed) is None:
                inner.wrong(needed, "is needed")
        members.errors += inner.errors
        found.append((sequence or 0, name or ""))
    return tuple(found)


def _problem(errors: list[dict[str, str]]) -> ProblemError:
    first = errors[0]
    more = f" (and {len(errors) - 1} more)" if len(errors) > 1 else ""
    return ProblemError(
        400, "Wrong body", f"{first['pointer']}: {first['detail']}{more}; nothing was done", errors
    )
