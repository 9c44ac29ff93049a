"""The hooks themselves: switched by a variable, harmless whatever happens; Inspect is not run."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from types import SimpleNamespace
from typing import Any

import pytest
from inspect_ai.model import ModelUsage

from eventbus.integrations.inspect_ai import URL_VARIABLE, EventBusHooks
from tests.helpers.recording_bus import RecordingBus
from tests.helpers.server import ROOT, clean_environment

SCRIPT = """
import inspect_ai.hooks._startup as startup
startup.init_hooks()
from inspect_ai.hooks._hooks import get_all_hooks
import sys, threading
print([type(hook).__name__ for hook in get_all_hooks()], threading.active_count())
"""


def hooks_of_inspect(**variables: str) -> str:
    """What Inspect finds by the entry point, and how many threads there are."""
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT], capture_output=True, text=True, timeout=60, cwd=ROOT,
        env=clean_environment(**variables),
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_inspect_finds_the_hooks_when_the_variable_is_set() -> None:
    output = hooks_of_inspect(EVENTBUS_URL="http://127.0.0.1:1")
    assert "['EventBusHooks'] 1" in output
    assert "publishes to the event bus" in output


def test_without_the_variable_inspect_neither_has_nor_mentions_them() -> None:
    assert hooks_of_inspect().strip() == "[] 1"


def run_start(run_id: str = "r1") -> Any:
    return SimpleNamespace(run_id=run_id, eval_set_id=None, task_names=["t"])


def test_they_follow_the_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    with RecordingBus() as first, RecordingBus() as second:
        hooks = EventBusHooks()
        monkeypatch.delenv(URL_VARIABLE, raising=False)
        assert not hooks.enabled()
        for bus in (first, second):
            monkeypatch.setenv(URL_VARIABLE, bus.url)
            assert hooks.enabled()
            asyncio.run(hooks.on_run_start(run_start()))
            assert hooks.bus is not None
            assert hooks.bus.close(10)
            assert [event["type"] for event in bus.events] == ["inspect.run.started"]
        monkeypatch.setenv(URL_VARIABLE, "")
        assert not hooks.enabled()


def test_a_wrong_url_is_said_once_and_switches_them_off(monkeypatch, caplog) -> None:
    monkeypatch.setenv(URL_VARIABLE, "localhost:8000")
    hooks = EventBusHooks()
    for _ in range(3):
        assert not hooks.enabled()
    (record,) = caplog.records
    assert "EVENTBUS_URL is wrong" in record.getMessage()
    asyncio.run(hooks.on_run_start(run_start()))


def test_data_that_nobody_expected_is_said_once_and_breaks_nothing(monkeypatch, caplog) -> None:
    with RecordingBus() as bus:
        monkeypatch.setenv(URL_VARIABLE, bus.url)
        hooks = EventBusHooks()
        assert hooks.enabled()
        for _ in range(5):
            asyncio.run(hooks.on_task_start(SimpleNamespace(eval_id="e")))  # type: ignore[arg-type]
        asyncio.run(hooks.on_run_start(run_start()))
        assert hooks.bus is not None
        assert hooks.bus.close(10)
        assert len(bus.events) == 1
    (record,) = caplog.records
    assert "events of task_start are missing" in record.getMessage()


def test_usage_of_many_calls_is_summed_up_per_model_in_few_events(monkeypatch) -> None:
    def usage(model: str) -> Any:
        return SimpleNamespace(
            model_name=model, run_id="r1", call_duration=0.5,
            usage=ModelUsage(input_tokens=3, output_tokens=2, total_tokens=5, total_cost=0.25),
        )  # fmt: skip

    def retry() -> Any:
        return SimpleNamespace(
            model_name="m/a", run_id="r1", wait_time=1.5, exception_type="RateLimitError",
            status_code=429,
        )  # fmt: skip

    async def run(hooks: EventBusHooks) -> None:
        await hooks.on_run_start(run_start())
        for _ in range(500):
            await hooks.on_model_usage(usage("m/a"))
            await hooks.on_model_usage(usage("m/b"))
            await hooks.on_model_retry(retry())
        end: Any = SimpleNamespace(run_id="r1", eval_set_id=None, exception=None, logs=[])
        await hooks.on_run_end(end)

    with RecordingBus() as bus:
        monkeypatch.setenv(URL_VARIABLE, bus.url)
        hooks = EventBusHooks()
        assert hooks.enabled()
        asyncio.run(run(hooks))
        assert hooks.bus is not None
        assert hooks.bus.close(10)
        metrics = [e["data"] for e in bus.events if e["type"] == "monitoring.metric.recorded"]
    last = {data["metric"]: data for data in metrics}
    assert len(metrics) < 15
    for model in ("m/a", "m/b"):
        tokens = last[f"inspect.tokens.{model}"]
        assert (tokens["value"], tokens["unit"], tokens["calls"]) == (2500, "tokens", 500)
        assert (tokens["input_tokens"], tokens["output_tokens"]) == (1500, 1000)
        assert (tokens["call_s"], tokens["cost_usd"]) == (250.0, 125.0)
    retries = last["inspect.retries.m/a"]
    assert (retries["value"], retries["wait_s"], retries["status"]) == (500, 750.0, 429)
    assert len({e["correlationid"] for e in bus.events}) == 1
