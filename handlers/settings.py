"""What can be set about the built-in handlers."""

from __future__ import annotations

from dataclasses import dataclass, field

from handlers.retry_delays import RetryDelay
from handlers.rules import MetricRule

# Attempts count from 1 to here; each is a bit of an evaluation's mask of failed attempts, so the
# number needs some bound.
MAX_ATTEMPT = 1000


@dataclass(frozen=True, slots=True)
class HandlerSettings:
    """Settings of the built-in handlers; raises ValueError for values that make no sense.

    ``max_retries`` is for evaluations whose events do not tell; ``stalled_min_s`` and
    ``stalled_factor`` bound how long an evaluation may be active (the factor times the p99 of its
    task's completed ones, at least the minimum, in seconds); ``stalled_quiet_s`` is how long it
    must also have shown no progress; ``metric_rules`` are MetricRule or their texts, like
    "gpu.memory > 0.95 for critical". ``retry_delays`` make a failed evaluation wait for its retry.
    With ``announces_alerts`` every change of an alert asks for notifications, by an event.
    """

    max_retries: int = 3
    stalled_min_s: float = 3600.0
    stalled_factor: float = 3.0
    stalled_quiet_s: float = 60.0
    metric_rules: tuple[MetricRule | str, ...] = field(default=())
    retry_delays: tuple[RetryDelay, ...] = ()
    announces_alerts: bool = False

    def __post_init__(self) -> None:
        if not 0 <= self.max_retries < MAX_ATTEMPT:
            raise ValueError(
                f"max_retries must be 0 to {MAX_ATTEMPT - 1}, not {self.max_retries!r}"
            )
        for name in ("stalled_min_s", "stalled_factor", "stalled_quiet_s"):
            value = getattr(self, name)
            if not 0 <= value < float("inf"):
                raise ValueError(f"{name} must be a number from 0, not {value!r}")
        self.rules()

    def rules(self) -> tuple[MetricRule, ...]:
        """The metric rules, read. Raises RuleError."""
        return tuple(
            rule if isinstance(rule, MetricRule) else MetricRule.parse(rule)
            for rule in self.metric_rules
        )
