"""Retention rules: their text, which one holds, and what none may touch."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from eventbus.errors import RetentionError
from eventbus.retention import RetentionRule, RetentionRules


def test_a_rule_reads_as_it_is_written() -> None:
    rules = RetentionRules.parse("monitoring.* keep 7d payload 1d; a.b payload 90m ; # keep 1.5y")
    assert [(rule.keep_s, rule.payload_s) for rule in rules.rules] == [
        (7 * 86_400, 86_400), (None, 5_400), (1.5 * 31_536_000, None),
    ]  # fmt: skip
    assert RetentionRule.parse("a.* keep forever").keep_s == math.inf


@given(st.integers(10, 500_000), st.sampled_from("mhdwy"))
def test_a_rule_says_what_it_was_parsed_from(number: int, unit: str) -> None:
    text = f"a.* keep {number}{unit}"
    try:
        rule = RetentionRule.parse(text)
    except RetentionError:
        assert number > 100  # more than a hundred years
    else:
        assert RetentionRule.parse(rule.text) == rule


@pytest.mark.parametrize(
    "text",
    ["a.*", "keep 7d", "a.* keep", "a.* keep 7", "a.* keep 7x", "a.* keep 9m", "a.* keep 101y",
     "a.* keep -1d", "a..b keep 1d", "a.* keep 1d payload 1d", "a.* keep 1d payload forever",
     "a.* payload 1d keep 2d", "a.* keep 1d for ever", "a.* keep 1e9d", "a.* keep nan"],
)  # fmt: skip
def test_a_wrong_rule_is_refused(text: str) -> None:
    with pytest.raises(RetentionError):
        RetentionRules.parse(text)


@pytest.mark.parametrize(
    ("text", "rule"),
    [
        ("# keep 1d; # keep 2d", "# keep 2d"),
        ("a.* keep 1d; b keep 1d; a.b.* payload 1d", "a.b.* payload 1d"),
        ("*.b keep 1d; + keep 1d; c.b keep 2d", "c.b keep 2d"),
        ("# keep 1d; alert.* keep 2d", "alert.* keep 2d"),
    ],
)
def test_a_rule_that_never_holds_is_refused_with_the_one_before_it(text: str, rule: str) -> None:
    with pytest.raises(RetentionError, match="can never hold, as .* before it") as refused:
        RetentionRules.parse(text)
    assert repr(rule) in str(refused.value)


def test_a_rule_that_holds_for_what_is_left_is_taken() -> None:
    for text in (
        "a.b keep 1d; a.* keep 2d",
        "*.b keep 1d; b.* keep 1d",
        "# keep 1d; bus.* keep 2d",  # audit events have no rule but those that name them
        "# keep 1d; alert.acknowledged keep 2d",
        "a.* keep 1d; a.# keep 1d",
    ):
        assert len(RetentionRules.parse(text).rules) == 2


def test_the_first_rule_that_matches_holds() -> None:
    rules = RetentionRules.parse("a.b keep 1d; a.* keep 2d")
    assert [getattr(rules.rule_of(t), "keep_s", 0) for t in ("a.b", "a.c", "b.c")] == [
        86_400, 172_800, 0,
    ]  # fmt: skip


def test_audit_events_have_no_rule_but_one_that_names_them() -> None:
    rules = RetentionRules.parse("*.acknowledged keep 1d; # keep 1d; bus.rebuild.* keep 1y")
    audit = ("bus.backup.made", "alert.acknowledged", "subscription.ended")
    assert [rules.rule_of(type) for type in audit] == [None] * 3
    assert not any(rules.may_go_for_room(type) for type in audit)
    assert rules.rule_of("bus.rebuild.started") is rules.rules[2]
    assert rules.may_go_for_room("bus.rebuild.started") and rules.may_go_for_room("a.b")
    assert not RetentionRules.parse("a.* keep forever").may_go_for_room("a.b")
