"""Threshold rules on metrics: "gpu.memory > 0.95 for critical" raises alert.critical."""

from __future__ import annotations

import operator
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from eventbus import Pattern
from eventbus.errors import PatternError
from handlers.errors import RuleError

_COMPARE: dict[str, Callable[[float, float], bool]] = {
    ">": operator.gt,
    ">=": operator.ge,
    "<": operator.lt,
    "<=": operator.le,
}
SEVERITIES = ("critical", "warning", "info")
_RULE = re.compile(
    r"\s*(?P<metric>\S+)\s*(?P<comparison>>=|<=|>|<)\s*(?P<threshold>[-+.\deE]+)"
    r"\s+for\s+(?P<severity>\w+)\s*"
)


@dataclass(frozen=True, slots=True)
class MetricRule:
    """Raise an alert of ``severity`` when a metric crosses ``threshold``.

    ``metric`` is a name, or a pattern over its dotted segments (``gpu.*``).
    """

    metric: str
    comparison: str
    threshold: float
    severity: str

    def __post_init__(self) -> None:
        if self.comparison not in _COMPARE:
            raise RuleError(
                f"comparison must be one of {', '.join(_COMPARE)}, not {self.comparison!r}"
            )
        if self.severity not in SEVERITIES:
            raise RuleError(
                f"severity must be one of {', '.join(SEVERITIES)}, not {self.severity!r}"
            )
        _matcher(self.metric)

    @classmethod
    def parse(cls, text: str) -> MetricRule:
        """A rule from its text. Raises RuleError."""
        match = _RULE.fullmatch(text)
        try:
            if match is None:
                raise ValueError
            threshold = float(match["threshold"])
        except ValueError:
            raise RuleError(
                f'a metric rule reads like "gpu.memory > 0.95 for critical", not {text!r}'
            ) from None
        return cls(match["metric"], match["comparison"], threshold, match["severity"])

    def is_crossed_by(self, value: float) -> bool:
        """Whether a value lies on the alarming side of the threshold."""
        return _COMPARE[self.comparison](value, self.threshold)

    @property
    def text(self) -> str:
        """The rule as it is written in a configuration."""
        return f"{self.metric} {self.condition} for {self.severity}"

    @property
    def condition(self) -> str:
        """The rule without its severity: ``> 0.95``."""
        return f"{self.comparison} {self.threshold:g}"

    def alert(self, metric: str, value: float, eval_id: str | None) -> tuple[str, dict[str, Any]]:
        """The event that says so; all crossings of one metric by one rule are one alert."""
        error = {
            "type": f"{metric} {self.condition}",
            "message": f"{metric} is {value:g}, which is {self.condition}",
            "severity": self.severity,
        }
        data: dict[str, Any] = {"service": "monitoring", "error": error, "metric": metric}
        if eval_id is not None:
            data["eval_id"] = eval_id
        return f"alert.{self.severity}", {**data, "value": value}


class RuleBook:
    """The rules that apply to each metric, looked up once per name."""

    _MOST_NAMES = 10_000  # names come from outside; forgetting them only costs a look-up

    def __init__(self, rules: tuple[MetricRule, ...]) -> None:
        self._rules = tuple((_matcher(rule.metric), rule) for rule in rules)
        self._by_metric: dict[str, tuple[MetricRule, ...]] = {}

    def for_metric(self, metric: str) -> tuple[MetricRule, ...]:
        """The rules whose pattern matches the name, in the order of the configuration."""
        if not self._rules:
            return ()
        found = self._by_metric.get(metric)
        if found is None:
            if len(self._by_metric) >= self._MOST_NAMES:
                self._by_metric.clear()
            found = tuple(rule for matches, rule in self._rules if matches(metric))
            self._by_metric[metric] = found
        return found


def _matcher(metric: str) -> Callable[[str], bool]:
    """Equality for a plain name, which may have any character; else the bus's pattern dialect."""
    if not any(wildcard in metric for wildcard in "*+#"):
        return metric.__eq__
    try:
        return Pattern(metric).matches
    except PatternError as error:
        raise RuleError(f"the metric of a rule must be a name or a pattern: {error}") from error
