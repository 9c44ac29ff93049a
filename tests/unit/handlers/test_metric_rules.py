"""Threshold rules: reading them, what crosses them, which metrics they watch."""

from __future__ import annotations

import pytest

from handlers import HandlerSettings, MetricRule
from handlers.errors import RuleError
from handlers.rules import RuleBook


def test_a_rule_is_read_from_its_text_and_written_back() -> None:
    rule = MetricRule.parse("gpu.memory > 0.95 for critical")
    assert rule == MetricRule("gpu.memory", ">", 0.95, "critical")
    assert MetricRule.parse(rule.text) == rule


@pytest.mark.parametrize(
    ("text", "value", "is_crossed"),
    [
        ("m > 1 for info", 1, False),
        ("m >= 1 for info", 1, True),
        ("m < -1.5 for info", -2, True),
        ("m <= 1e3 for info", 1000, True),
        ("m<=1 for warning", 1.01, False),
    ],
)
def test_which_values_cross_a_rule(text: str, value: float, is_crossed: bool) -> None:
    assert MetricRule.parse(text).is_crossed_by(value) == is_crossed


@pytest.mark.parametrize(
    "text",
    ["", "gpu", "gpu > x for critical", "gpu = 1 for critical", "gpu > 1 for panic", "gpu > 1",
     "gp* > 1 for info", "> 1 for info", "gpu > 1.2.3 for info"],
)  # fmt: skip
def test_a_text_that_is_no_rule_is_refused_when_the_settings_are_made(text: str) -> None:
    with pytest.raises(RuleError):
        HandlerSettings(metric_rules=(text,))


def test_rules_are_found_by_name_and_by_pattern_and_names_may_have_any_character() -> None:
    book = RuleBook(
        (
            MetricRule.parse("gpu.* > 1 for info"),
            MetricRule.parse("gpu.memory > 2 for critical"),
            MetricRule.parse("tokens/s:in < 1 for warning"),
        )
    )
    assert [rule.threshold for rule in book.for_metric("gpu.memory")] == [1, 2]
    assert [rule.threshold for rule in book.for_metric("gpu.0.load")] == [1]
    assert [rule.severity for rule in book.for_metric("tokens/s:in")] == ["warning"]
    assert book.for_metric("cpu") == ()


@pytest.mark.parametrize(
    ("name", "value"),
    [("max_retries", -1), ("max_retries", 1000), ("stalled_min_s", -1.0),
     ("stalled_factor", float("nan")), ("stalled_quiet_s", float("inf"))],
)  # fmt: skip
def test_settings_that_make_no_sense_name_the_setting(name: str, value: float) -> None:
    with pytest.raises(ValueError, match=name):
        HandlerSettings(**{name: value})  # type: ignore[arg-type]
