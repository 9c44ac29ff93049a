"""The evaluation lifecycle: every rule once, then what holds for any history whatsoever."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from handlers.evaluation.facts import Facts
from handlers.evaluation.lifecycle import ENDED, STATES, EvaluationRow, Outcome, advance

CRITICAL = {"type": "OutOfMemory", "message": "no room", "severity": "critical"}


def fact(kind: Any, sequence: int = 1, **given: Any) -> Facts:
    if kind == "completed":
        given.setdefault("result", "{}")
    return Facts(kind, "e1", sequence, time=sequence * 1_000_000, timestamp="t", **given)


def run(*facts: Facts, max_retries: int = 3) -> tuple[EvaluationRow | None, list[Outcome]]:
    row: EvaluationRow | None = None
    outcomes = []
    for number, each in enumerate(facts, 1):
        each = replace(each, sequence=number, time=number * 1_000_000)
        outcome = advance(row, each, max_retries)
        outcomes.append(outcome)
        row = outcome.row
    return row, outcomes


def state_after(*facts: Facts) -> tuple[str, int]:
    row, _ = run(*facts)
    assert row is not None
    return row.state, row.attempt


def further(outcomes: list[Outcome]) -> list[str]:
    return [type for outcome in outcomes for type, _ in outcome.further]


def test_a_start_makes_it_active_and_is_announced_once() -> None:
    row, outcomes = run(fact("started", task="mmlu", total=10), fact("started"))
    assert row is not None
    assert (row.state, row.attempt, row.task, row.total) == ("active", 1, "mmlu", 10)
    assert outcomes[0].further == (
        ("metrics.evaluation.started", {"eval_id": "e1", "timestamp": "t"}),
    )
    assert outcomes[1].row is outcomes[0].row and outcomes[1].further == ()


def test_a_start_after_its_progress_is_still_announced_and_its_time_is_kept() -> None:
    early = advance(None, fact("progress", 5, done=2), 3).row
    assert early is not None and early.state == "active"
    late = advance(early, replace(fact("started", 6), time=1), 3)
    assert late.has_started and late.row is not None
    assert (late.row.started_at, late.row.done) == (1, 2)
    assert not advance(late.row, fact("started", 7), 3).has_started


def test_a_failure_is_retried_until_the_retries_are_used_up() -> None:
    facts = []
    for retry_count in range(4):
        facts += [fact("started", attempt=retry_count + 1)]
        facts += [fact("failed", attempt=retry_count + 1, error={"type": "X"})]
    row, outcomes = run(*facts)
    retries = [data for o in outcomes for type, data in o.further if type == "evaluation.retry"]
    assert retries == [{"eval_id": "e1", "retry_count": n} for n in (1, 2, 3)]
    assert outcomes[-1].further == (
        ("evaluation.exhausted", {"eval_id": "e1", "retry_count": 3, "error": {"type": "X"}}),
    )
    assert sum(outcome.has_failed for outcome in outcomes) == 4


@pytest.mark.parametrize(("own", "count"), [(0, 0), (1, 1), (None, 3)])
def test_an_event_may_bring_its_own_limit_of_retries(own: int | None, count: int) -> None:
    facts = [fact("failed", attempt=n, max_retries=own) for n in range(1, 5)]
    _, outcomes = run(*facts)
    assert further(outcomes).count("evaluation.retry") == count


def test_a_critical_failure_raises_an_alert_that_names_the_evaluation() -> None:
    _, outcomes = run(fact("started"), fact("failed", error=CRITICAL))
    assert outcomes[1].further[0] == (
        "alert.critical",
        {"service": "evaluation", "error": CRITICAL, "eval_id": "e1"},
    )


def test_the_same_failure_twice_counts_once_and_retries_once() -> None:
    row, outcomes = run(fact("started"), fact("failed", attempt=1), fact("failed", attempt=1))
    assert sum(outcome.has_failed for outcome in outcomes) == 1
    assert further(outcomes).count("evaluation.retry") == 1
    assert outcomes[2].row is outcomes[1].row


def test_a_failure_without_a_number_is_of_the_attempt_that_runs() -> None:
    row, _ = run(fact("started", attempt=3), fact("failed"))
    assert row is not None and row.has_failed(3) and not row.has_failed(1)


def test_a_late_failure_is_counted_but_changes_nothing_else() -> None:
    row, outcomes = run(fact("started", attempt=2), fact("failed", attempt=1, error=CRITICAL))
    assert row is not None
    assert (row.state, row.attempt, row.error) == ("active", 2, None)
    assert outcomes[1].has_failed and outcomes[1].further == ()


@pytest.mark.parametrize(
    ("facts", "expected"),
    [
        ([fact("retry", attempt=2)], ("retrying", 2)),
        ([fact("failed"), fact("retry", attempt=2)], ("retrying", 2)),
        ([fact("failed"), fact("retry", attempt=2), fact("started")], ("active", 2)),
        ([fact("failed"), fact("started")], ("active", 2)),
        ([fact("failed"), fact("started", attempt=1)], ("failed", 1)),
        ([fact("started", attempt=2), fact("retry", attempt=2)], ("active", 2)),
        ([fact("completed"), fact("retry", attempt=2)], ("completed", 1)),
        ([fact("completed"), fact("started")], ("completed", 1)),
        ([fact("completed"), fact("started", attempt=2)], ("active", 2)),
        ([fact("completed"), fact("failed", attempt=2)], ("completed", 1)),
        ([fact("completed"), fact("exhausted")], ("completed", 1)),
        ([fact("exhausted", attempt=4), fact("retry", attempt=4)], ("exhausted", 4)),
        ([fact("exhausted", attempt=4), fact("retry", attempt=5)], ("retrying", 5)),
        ([fact("exhausted", attempt=4), fact("completed")], ("completed", 4)),
        ([fact("started", attempt=5), fact("exhausted", attempt=4)], ("active", 5)),
        ([fact("started"), fact("stalled", attempt=1)], ("stalled", 1)),
        ([fact("started", attempt=2), fact("stalled", attempt=1)], ("active", 2)),
        ([fact("started"), fact("stalled"), fact("progress", done=1)], ("active", 1)),
        ([fact("started"), fact("stalled"), fact("failed")], ("failed", 1)),
        ([fact("failed"), fact("progress", done=1)], ("failed", 1)),
        ([fact("cancelled")], ("cancelled", 1)),
        ([fact("started"), fact("cancelled")], ("cancelled", 1)),
        ([fact("started"), fact("stalled"), fact("cancelled")], ("cancelled", 1)),
        ([fact("started", attempt=2), fact("cancelled", attempt=1)], ("active", 2)),
        ([fact("completed"), fact("cancelled")], ("completed", 1)),
        ([fact("exhausted", attempt=4), fact("cancelled")], ("exhausted", 4)),
        ([fact("started"), fact("cancelled"), fact("progress", done=1)], ("cancelled", 1)),
        ([fact("started"), fact("cancelled"), fact("failed")], ("cancelled", 1)),
        ([fact("started"), fact("cancelled"), fact("started")], ("cancelled", 1)),
        ([fact("started"), fact("cancelled"), fact("stalled")], ("cancelled", 1)),
        ([fact("started"), fact("cancelled"), fact("exhausted", attempt=1)], ("cancelled", 1)),
        ([fact("started"), fact("cancelled"), fact("completed")], ("completed", 1)),
        ([fact("started"), fact("cancelled"), fact("started", attempt=2)], ("active", 2)),
        ([fact("started"), fact("cancelled"), fact("retry", attempt=2)], ("retrying", 2)),
        ([fact("failed"), fact("retry", attempt=2), fact("cancelled")], ("cancelled", 2)),
        ([fact("failed"), fact("cancelled"), fact("retry", attempt=2)], ("cancelled", 2)),
        ([fact("failed"), fact("cancelled"), fact("retry", attempt=3)], ("retrying", 3)),
        ([fact("started"), fact("started", attempt=2), fact("progress")], ("active", 2)),
        ([fact("started", attempt=2), fact("progress", attempt=1, done=9)], ("active", 2)),
    ],
)
def test_the_state_after(facts: list[Facts], expected: tuple[str, int]) -> None:
    assert state_after(*facts) == expected


def test_a_start_that_comes_late_by_its_own_time_does_not_begin_a_completed_one_again() -> None:
    row = advance(None, fact("completed", 9), 3).row
    late = advance(row, replace(fact("started", 10, attempt=2), time=8_000_000), 3).row
    again = advance(row, fact("started", 10, attempt=2), 3).row
    assert late is not None and (late.state, late.started_at) == ("completed", 8_000_000)
    assert again is not None and again.state == "active"


def test_nothing_is_known_of_an_evaluation_that_only_stalled() -> None:
    assert advance(None, fact("stalled"), 3).row is None


def test_progress_never_goes_back_within_an_attempt_and_begins_again_with_the_next() -> None:
    row, _ = run(
        fact("started", total=10),
        fact("progress", done=7, errors=1),
        fact("progress", done=3, total=12, errors=0),
    )
    assert row is not None and (row.done, row.total, row.errors) == (7, 12, 1)
    again = advance(row, fact("started", 9, attempt=2), 3).row
    assert again is not None and (again.done, again.total, again.errors) == (0, 12, 0)


def test_completing_stores_the_result_and_cleans_up_once() -> None:
    row, outcomes = run(fact("started"), fact("failed"), fact("completed"), fact("completed"))
    assert row is not None and row.state == "completed" and row.error is None
    assert further(outcomes).count("cleanup.evaluation") == 1


attempts = st.none() | st.integers(1, 5)
any_fact = st.builds(
    fact,
    st.sampled_from(
        [
            "started",
            "progress",
            "completed",
            "failed",
            "retry",
            "exhausted",
            "stalled",
            "cancelled",
        ]  # fmt: skip
    ),
    attempt=attempts,
    max_retries=st.none() | st.integers(0, 3),
    done=st.none() | st.integers(0, 9),
    total=st.none() | st.integers(0, 9),
    error=st.none() | st.just(CRITICAL) | st.just("broken"),
)
histories = st.lists(any_fact, max_size=25)


@given(histories)
def test_counters_made_of_differences_equal_a_recount_after_every_event(
    history: list[Facts],
) -> None:
    row: EvaluationRow | None = None
    counts: Counter[str] = Counter()
    failures: set[int] = set()
    for sequence, each in enumerate(history, 1):
        outcome = advance(row, replace(each, sequence=sequence, time=sequence), 3)
        if row is not None:
            counts[row.state] -= 1
        if outcome.row is not None:
            counts[outcome.row.state] += 1
        before, row = row, outcome.row
        newly_failed = _failed(row) - _failed(before)
        assert len(newly_failed) == outcome.has_failed
        assert not newly_failed & failures
        failures |= newly_failed
        assert all(count in (0, 1) for count in counts.values())
        assert sum(counts.values()) == (row is not None)
        assert row is None or counts[row.state] == 1 and row.state in STATES


@given(histories)
def test_an_event_that_comes_twice_in_a_row_changes_nothing_the_second_time(
    history: list[Facts],
) -> None:
    row: EvaluationRow | None = None
    for sequence, each in enumerate(history, 1):
        each = replace(each, sequence=sequence, time=sequence)
        once = advance(row, each, 3)
        again = advance(once.row, replace(each, sequence=sequence + 1), 3)
        # A start, a retry or a failure without a number is about "this attempt" or "the next one",
        # which is only the same twice when the first did not move it.
        is_definite = each.attempt is not None or each.kind in ("completed", "stalled", "cancelled")
        if once.row is not None and again.row is not None and is_definite:
            assert (again.row.state, again.row.attempt) == (once.row.state, once.row.attempt)
            assert not again.has_failed
            assert again.further == ()
        row = once.row


@given(histories)
def test_each_attempt_is_announced_once_and_attempts_only_go_up(history: list[Facts]) -> None:
    row, outcomes = run(*history)
    announced = [o.row.attempt for o in outcomes if o.has_started and o.row is not None]
    assert len(announced) == len(set(announced))
    reached = [outcome.row.attempt for outcome in outcomes if outcome.row is not None]
    assert reached == sorted(reached)


@given(histories, st.randoms(use_true_random=False))
def test_a_completed_evaluation_is_completed_in_any_order_of_its_first_attempt(
    history: list[Facts], random: Any
) -> None:
    first = [replace(each, attempt=1) for each in history if each.kind != "retry"]
    events = [*first, fact("completed", attempt=1)]
    random.shuffle(events)
    row, _ = run(*events)
    assert row is not None and row.state == "completed"


def test_a_late_failure_of_a_cancelled_one_is_counted_and_nothing_follows_from_it() -> None:
    row, outcomes = run(
        fact("started"), fact("cancelled"), fact("failed", attempt=1, error=CRITICAL)
    )
    assert row is not None and (row.state, row.error) == ("cancelled", None)
    assert outcomes[2].has_failed and further(outcomes[1:]) == []


@given(histories, st.lists(any_fact, max_size=8))
def test_what_is_cancelled_stays_so_until_it_completes_or_a_later_attempt_begins(
    history: list[Facts], after: list[Facts]
) -> None:
    row, _ = run(*history, fact("cancelled"))
    assert row is not None and row.state in ENDED
    cancelled = row
    for number, each in enumerate(after, 1_000):
        is_further = (each.attempt or 0) > cancelled.attempt or each.attempt is None
        row = advance(row, replace(each, sequence=number, time=number), 3).row
        assert row is not None
        if row.state not in ENDED:
            assert each.kind in ("started", "retry") and is_further
            return
        if each.kind == "completed":
            assert row.state == "completed"
            return
        assert row.state == cancelled.state


@given(st.permutations([fact("cancelled"), fact("retry", attempt=2)]))
def test_a_cancel_between_a_failure_and_its_retry_calls_the_retry_off_too(
    late: list[Facts],
) -> None:
    assert state_after(fact("started"), fact("failed"), *late) == ("cancelled", 2)
    assert state_after(fact("started"), fact("failed"), *late, fact("started", attempt=2)) == (
        "cancelled", 2,
    )  # fmt: skip


@given(st.lists(st.integers(1, 4), max_size=12))
def test_failures_are_counted_once_for_each_attempt_in_any_order(numbers: list[int]) -> None:
    _, outcomes = run(*(fact("failed", attempt=number) for number in numbers))
    assert sum(outcome.has_failed for outcome in outcomes) == len(set(numbers))


def _failed(row: EvaluationRow | None) -> set[int]:
    return set() if row is None else {n for n in range(1, 20) if row.has_failed(n)}
