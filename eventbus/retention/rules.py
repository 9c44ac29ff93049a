"""Retention rules: "monitoring.* keep 7d payload 1d" says how long events of a pattern stay."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable
from dataclasses import dataclass

from eventbus.errors import PatternError, RetentionError
from eventbus.patterns import Pattern

MIN_AGE_S = 600.0
"""Nothing younger goes. A backup is of the moment at which it began, and takes a while."""
MAX_AGE_S = 100 * 366 * 86_400.0
LIMIT = "EVENTBUS_MAX_DATABASE_BYTES"
"""The name under which is counted what went because of the size."""

# What people did and what the bus did by itself: the trail of it outlives what it is about.
_AUDIT_FAMILIES = frozenset({"bus", "subscription"})
_AUDIT_TYPES = frozenset({
    "alert.acknowledged", "alert.resolved", "alert.muted", "alert.unmuted",
})  # fmt: skip
_UNITS = {"m": 60, "h": 3_600, "d": 86_400, "w": 604_800, "y": 31_536_000}
_RULE = re.compile(
    r"\s*(?P<pattern>\S+)(?:\s+keep\s+(?P<keep>\S+))?(?:\s+payload\s+(?P<payload>\S+))?\s*"
)
_AGE = re.compile(r"(?P<number>\d{1,9}(?:\.\d{1,6})?)(?P<unit>[mhdwy])")
_MOST_TYPES = 10_000  # types come from outside; forgetting them only costs a look-up


@dataclass(frozen=True, slots=True)
class RetentionRule:
    """Events that match ``pattern`` stay for ``keep_s`` seconds, their payloads for ``payload_s``.

    None is for as long as there is room; infinity for ever.
    """

    pattern: Pattern
    keep_s: float | None = None
    payload_s: float | None = None

    @classmethod
    def parse(cls, text: str) -> RetentionRule:
        """A rule from its text. Raises RetentionError."""
        match = _RULE.fullmatch(text)
        if match is None or (match["keep"] is None and match["payload"] is None):
            raise RetentionError(
                f'a retention rule reads like "monitoring.* keep 7d payload 1d", not {text!r}'
            )
        try:
            pattern = Pattern(match["pattern"])
        except PatternError as error:
            raise RetentionError(f"the pattern of a retention rule is wrong: {error}") from error
        rule = cls(pattern, _age(match["keep"]), _age(match["payload"]))
        if (
            rule.keep_s is not None
            and rule.payload_s is not None
            and (rule.payload_s >= rule.keep_s)
        ):
            raise RetentionError(f"payloads must go before their events, not as in {text!r}")
        return rule

    @property
    def text(self) -> str:
        """The rule as it is written in a configuration."""
        keep = "" if self.keep_s is None else f" keep {_shown(self.keep_s)}"
        payload = "" if self.payload_s is None else f" payload {_shown(self.payload_s)}"
        return f"{self.pattern.text}{keep}{payload}"

    @property
    def is_about_audit(self) -> bool:
        """Whether it names audit events, and not only happens to match some."""
        text = self.pattern.text
        return text in _AUDIT_TYPES or text.partition(".")[0] in _AUDIT_FAMILIES

    def hides(self, later: RetentionRule) -> bool:
        """Whether a rule that comes after this one holds for no event."""
        is_left_audit = later.is_about_audit and not self.is_about_audit
        return not is_left_audit and self.pattern.covers(later.pattern)


class RetentionRules:
    """The rules in their order: the first one that matches a type holds."""

    def __init__(self, rules: Iterable[RetentionRule] = ()) -> None:
        self.rules = tuple(rules)
        self._by_type: dict[str, RetentionRule | None] = {}

    @classmethod
    def parse(cls, text: str) -> RetentionRules:
        """Rules separated by semicolons. Raises RetentionError, also for one that never holds."""
        rules = [RetentionRule.parse(part) for part in text.split(";") if part.strip()]
        for index, rule in enumerate(rules):
            for earlier in rules[:index]:
                if earlier.hides(rule):
                    raise RetentionError(
                        f"the rule {rule.text!r} can never hold, as {earlier.text!r} before it is "
                        "about all of its events: the first that matches holds"
                    )
        return cls(rules)

    def rule_of(self, type: str) -> RetentionRule | None:
        """The rule that holds for a type. For audit events only one that names them does."""
        try:
            return self._by_type[type]
        except KeyError:
            pass
        is_audit = _is_audit(type)
        found = next(
            (
                rule
                for rule in self.rules
                if rule.pattern.matches(type) and (rule.is_about_audit or not is_audit)
            ),
            None,
        )
        if len(self._by_type) >= _MOST_TYPES:
            self._by_type.clear()
        self._by_type[type] = found
        return found

    def may_go_for_room(self, type: str) -> bool:
        """Whether events of a type may be removed because the database is too large."""
        rule = self.rule_of(type)
        return not _is_audit(type) if rule is None else rule.keep_s != math.inf


def _is_audit(type: str) -> bool:
    return type in _AUDIT_TYPES or type.partition(".")[0] in _AUDIT_FAMILIES


def _age(text: str | None) -> float | None:
    if text is None:
        return None
    if text == "forever":
        return math.inf
    match = _AGE.fullmatch(text)
    age_s = float(match["number"]) * _UNITS[match["unit"]] if match else 0.0
    if not MIN_AGE_S <= age_s <= MAX_AGE_S:
        raise RetentionError(
            f'an age is "forever" or a number with m, h, d, w or y from 10m to 100y, not {text!r}'
        )
    return age_s


def _shown(age_s: float) -> str:
    if age_s == math.inf:
        return "forever"
    unit = next(u for u in reversed(_UNITS) if age_s % _UNITS[u] == 0 or u == "m")
    return f"{age_s / _UNITS[unit]:g}{unit}"
