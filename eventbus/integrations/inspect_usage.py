"""What models were asked for in a run of Inspect AI: tokens and retries, summed per model."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

from eventbus.integrations import inspect_payloads as payloads
from eventbus.integrations.pacing import Pacer

USAGE_INTERVAL_S = 1.0

_Key = tuple[str, str | None, str]  # what is summed, run id, model


@dataclass(slots=True)
class _Tokens:
    calls: int = 0
    call_s: float = 0.0
    total: int = 0
    input: int = 0
    output: int = 0
    cache_read: int = 0
    cache_write: int = 0
    reasoning: int = 0
    cost: float | None = None

    def metric(self, model: str) -> payloads.Data:
        return {
            "metric": f"inspect.tokens.{model}",
            "value": self.total,
            "unit": "tokens",
            "calls": self.calls,
            "call_s": round(self.call_s, 3),
            "input_tokens": self.input,
            "output_tokens": self.output,
            "cache_read_tokens": self.cache_read,
            "cache_write_tokens": self.cache_write,
            "reasoning_tokens": self.reasoning,
            "cost_usd": self.cost,
        }


@dataclass(slots=True)
class _Retries:
    count: int = 0
    wait_s: float = 0.0
    last_error: str | None = None
    last_status: int | None = None

    def metric(self, model: str) -> payloads.Data:
        return {
            "metric": f"inspect.retries.{model}",
            "value": self.count,
            "unit": "retries",
            "wait_s": round(self.wait_s, 3),
            "error": self.last_error,
            "status": self.last_status,
        }


class ModelUse:
    """Sums per run and model, published at most once a second each, as totals so far.

    Totals, so that an event that is lost or folded takes nothing away from the next.
    """

    def __init__(
        self, publish: Callable[[str, payloads.Data, str | None], None], pacer: Pacer
    ) -> None:
        """``publish`` takes an event's type, its data, and the id of its run if that is known."""
        self._publish = publish
        self._pacer = pacer
        self._sums: dict[_Key, _Tokens | _Retries] = {}

    def called(self, data: Any) -> None:
        """A ``ModelUsageData``: a call of a model has succeeded."""
        key = ("tokens", data.run_id, payloads.text(data.model_name, 200))
        tokens = self._sums.setdefault(key, _Tokens())
        assert isinstance(tokens, _Tokens)
        usage = data.usage
        tokens.calls += 1
        tokens.call_s += data.call_duration
        tokens.total += usage.total_tokens
        tokens.input += usage.input_tokens
        tokens.output += usage.output_tokens
        tokens.cache_read += usage.input_tokens_cache_read or 0
        tokens.cache_write += usage.input_tokens_cache_write or 0
        tokens.reasoning += usage.reasoning_tokens or 0
        if usage.total_cost is not None:
            tokens.cost = (tokens.cost or 0.0) + usage.total_cost
        self._pacer.touch(key, partial(self._tell, key), USAGE_INTERVAL_S)

    def retried(self, data: Any) -> None:
        """A ``ModelRetry``: a call of a model has failed and is tried again."""
        key = ("retries", data.run_id, payloads.text(data.model_name, 200))
        retries = self._sums.setdefault(key, _Retries())
        assert isinstance(retries, _Retries)
        retries.count += 1
        retries.wait_s += data.wait_time
        retries.last_error = data.exception_type and payloads.text(data.exception_type, 200)
        retries.last_status = data.status_code
        self._pacer.touch(key, partial(self._tell, key), USAGE_INTERVAL_S)

    def flush(self, run_id: str) -> None:
        """Publish now what was put off for this run."""
        for key in self._of(run_id):
            self._pacer.finish(key)

    def finish(self, run_id: str) -> None:
        """As ``flush``, and forget the run."""
        self.flush(run_id)
        for key in self._of(run_id):
            del self._sums[key]

    def _of(self, run_id: str) -> list[_Key]:
        # Calls outside any sample come without a run; they end with the run that is there.
        return [key for key in self._sums if key[1] in (run_id, None)]

    def _tell(self, key: _Key) -> None:
        _, run_id, model = key
        data = self._sums[key].metric(model)
        data["model"], data["run_id"] = model, run_id
        self._publish("monitoring.metric.recorded", data, run_id)
