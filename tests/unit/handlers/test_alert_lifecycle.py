"""The life of a group of alerts: every rule once, then what holds for any history."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from handlers.alert.lifecycle import (
    OPEN_STATES,
    RANKS,
    AlertRow,
    Decision,
    Fact,
    Occurrence,
    advance,
)

HOUR = 3_600_000_000


def occurs(severity: Any = "critical", time: int = 0) -> Occurrence:
    return Occurrence("alert-1", 0, time, "f" * 32, "evaluation", "OutOfMemory", severity, '"x"')


def decides(kind: Any, by: str = "ana", time: int = 0, until: int | None = None) -> Decision:
    return Decision("alert-1", 0, time, kind, by, until)


def run(*facts: Fact) -> AlertRow | None:
    row: AlertRow | None = None
    for number, each in enumerate(facts, 1):
        row = advance(row, replace(each, sequence=number, time=each.time or number))
    return row


def state_after(*facts: Fact) -> str:
    row = run(*facts)
    assert row is not None
    return row.state


def test_occurrences_are_counted_and_keep_the_first_and_last_time() -> None:
    row = run(occurs(time=50), occurs(time=20), occurs(time=90))
    assert row is not None
    assert (row.state, row.occurrences, row.first_seen, row.last_seen) == ("open", 3, 20, 90)


def test_an_acknowledged_alert_stays_so_until_it_is_more_severe() -> None:
    warned = [occurs("warning"), decides("acknowledged")]
    assert state_after(*warned, occurs("warning")) == "acknowledged"
    assert state_after(*warned, occurs("critical")) == "open"


def test_a_new_occurrence_after_resolving_is_a_regression_with_its_own_severity() -> None:
    row = run(occurs("critical"), decides("resolved"), occurs("warning"))
    assert row is not None
    assert (row.state, row.severity, row.occurrences, row.by) == ("regressed", "warning", 2, None)


def test_a_decision_says_who_took_it() -> None:
    row = run(occurs(), decides("acknowledged", by="bo"))
    assert row is not None and row.by == "bo"


def test_a_decision_about_an_alert_that_never_occurred_changes_nothing() -> None:
    assert run(decides("acknowledged")) is None


def test_the_second_same_decision_is_a_duplicate() -> None:
    row = run(occurs(), decides("resolved", by="ana"))
    assert row is not None
    assert advance(row, decides("resolved", by="bo")) is row


def test_a_timed_mute_is_silent_until_its_end() -> None:
    muted = [occurs(), decides("muted", time=10, until=10 + HOUR)]
    assert state_after(*muted, occurs(time=HOUR)) == "muted"
    row = run(*muted, occurs(time=HOUR), occurs(time=10 + HOUR))
    assert row is not None
    assert (row.state, row.occurrences, row.muted_until) == ("open", 3, None)


@pytest.mark.parametrize(
    ("before", "after"), [("acknowledged", "acknowledged"), ("resolved", "resolved")]
)
def test_a_mute_that_ends_in_silence_leaves_what_was_decided_before(
    before: str, after: str
) -> None:
    facts = [occurs(), decides(before), decides("muted", until=HOUR)]
    assert state_after(*facts, decides("unmuted", time=HOUR)) == after


def test_a_mute_that_ends_after_more_occurrences_asks_for_somebody_again() -> None:
    muted = decides("muted", until=HOUR)
    ended = decides("unmuted", time=HOUR)
    assert state_after(occurs(), decides("acknowledged"), muted, occurs(), ended) == "open"
    assert state_after(occurs(), decides("resolved"), muted, occurs(), ended) == "regressed"


def test_unmuting_what_is_not_muted_changes_nothing() -> None:
    assert state_after(occurs(), decides("acknowledged"), decides("unmuted")) == "acknowledged"


def test_muted_until_it_worsens_ends_with_a_higher_severity() -> None:
    muted = [occurs("warning"), decides("muted")]
    assert state_after(*muted, occurs("warning")) == "muted"
    assert state_after(*muted, occurs("critical")) == "open"


def test_muted_until_it_worsens_ends_when_occurrences_double_but_not_by_a_few() -> None:
    few = [occurs(), decides("muted")]
    assert state_after(*few, *[occurs()] * 9) == "muted"
    assert state_after(*few, *[occurs()] * 10) == "open"
    many = [*[occurs()] * 30, decides("muted")]
    assert state_after(*many, *[occurs()] * 29) == "muted"
    assert state_after(*many, *[occurs()] * 30) == "open"


def test_muting_again_moves_the_end_and_remembers_what_was_before() -> None:
    facts = [occurs(), decides("acknowledged"), decides("muted", until=HOUR), decides("muted")]
    row = run(*facts)
    assert row is not None
    assert (row.muted_until, row.state_before_mute) == (None, "acknowledged")


facts = st.one_of(
    st.builds(occurs, st.sampled_from(list(RANKS)), st.integers(0, 3 * HOUR)),
    st.builds(
        decides,
        st.sampled_from(["acknowledged", "resolved", "muted", "unmuted"]),
        st.just("ana"),
        st.integers(0, 3 * HOUR),
        st.none() | st.integers(0, 3 * HOUR),
    ),
)


@given(st.lists(facts, max_size=30))
def test_a_row_always_agrees_with_itself(history: list[Fact]) -> None:
    row: AlertRow | None = None
    occurrences = 0
    for number, each in enumerate(history, 1):
        row = advance(row, replace(each, sequence=number))
        occurrences += isinstance(each, Occurrence)
        if row is None:
            assert occurrences == 0
            continue
        assert row.occurrences == occurrences
        assert row.is_open == (row.state in OPEN_STATES)
        assert row.rank == RANKS[row.severity]
        assert row.first_seen <= row.last_seen
        assert (row.state_before_mute is not None) == (row.state == "muted")
        assert row.muted_until is None or row.state == "muted"
