"""How long an evaluation waits before it is retried: "math=30s, swe-bench=2m*2, *=5s"."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from handlers.errors import RetryDelayError

ANY = "*"
MAX_DELAY_S = 86_400.0
MAX_FACTOR = 10.0
_UNITS = {"s": 1.0, "m": 60.0, "h": 3_600.0}
_RULE = re.compile(
    r"\s*(?P<kind>\S(?:.*\S)?)\s*=\s*(?P<number>\d{1,9}(?:\.\d{1,6})?)(?P<unit>[smh])"
    r"(?:\s*\*\s*(?P<factor>\d{1,2}(?:\.\d{1,6})?))?\s*"
)


@dataclass(frozen=True, slots=True)
class RetryDelay:
    """The wait before a retry of evaluations whose task is ``kind``, or of all others (``*``).

    ``first_s`` seconds before the first retry; each further one waits ``factor`` times as long,
    24 hours at most.
    """

    kind: str
    first_s: float
    factor: float = 1.0

    def __post_init__(self) -> None:
        if not 0 <= self.first_s <= MAX_DELAY_S:
            raise RetryDelayError(f"a retry's delay must be 0 to 24 hours, not {self.first_s:g} s")
        if not 1 <= self.factor <= MAX_FACTOR:
            raise RetryDelayError(f"a delay's factor must be 1 to 10, not {self.factor:g}")

    @classmethod
    def parse(cls, text: str) -> RetryDelay:
        """A rule from its text. Raises RetryDelayError."""
        match = _RULE.fullmatch(text)
        if match is None:
            raise RetryDelayError(
                f'a retry delay reads like "math=30s" or "*=2m*2", in s, m or h, not {text!r}'
            )
        first_s = float(match["number"]) * _UNITS[match["unit"]]
        return cls(match["kind"], first_s, float(match["factor"] or 1))

    def seconds(self, retry_count: int) -> float:
        """The wait before retry number ``retry_count`` (from 1)."""
        # Bounded before the power: 10.0 ** 400 would overflow.
        return min(MAX_DELAY_S, self.first_s * self.factor ** min(retry_count - 1, 60))


def parse_delays(text: str) -> tuple[RetryDelay, ...]:
    """Rules separated by commas. Raises RetryDelayError, also for two of the same kind."""
    rules = tuple(RetryDelay.parse(part) for part in text.split(",") if part.strip())
    kinds = [rule.kind for rule in rules]
    for kind in kinds:
        if kinds.count(kind) > 1:
            raise RetryDelayError(f"there are two retry delays for {kind!r}")
    return rules


def delay_s(rules: Sequence[RetryDelay], task: str | None, retry_count: int) -> float:
    """Seconds before a retry of an evaluation of this task; 0 when no rule is for it."""
    by_kind = {rule.kind: rule for rule in rules}
    rule = by_kind.get(task or ANY) or by_kind.get(ANY)
    return 0.0 if rule is None else rule.seconds(retry_count)
