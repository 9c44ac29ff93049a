"""Folding hides nothing: every event is a row of its own or counted in exactly one fold."""

from __future__ import annotations

from datetime import UTC, datetime

from hypothesis import given
from hypothesis import strategies as st

from app.live.fold import (
    FOLDS_AT_ONCE,
    ROWS_AT_ONCE,
    ROWS_PER_TICK,
    Flood,
    Fold,
    RowBudget,
    counts_by_type,
    fold,
    merge_down,
    never_folds,
    rows_of,
)
from eventbus import Event, Pattern

TIME = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
SECOND = 1_767_323_045
EVERYTHING = Pattern("#")

FEW_TYPES = ["queue.task.added", "evaluation.progress", "evaluation.failed", "alert.info", "x"]


def event(sequence: int, type: str) -> Event:
    return Event(f"id-{sequence}", "/test", type, "s", TIME, "{}", sequence=sequence)


def events(*types: str) -> list[Event]:
    return [event(sequence, type) for sequence, type in enumerate(types, start=1)]


def test_up_to_fifty_events_are_rows_newest_first() -> None:
    given_events = events(*["queue.task.added"] * ROWS_PER_TICK)
    assert rows_of(given_events, SECOND, EVERYTHING) == given_events[::-1]


def test_one_more_folds_to_a_line_per_type_with_exact_counts() -> None:
    rows = rows_of(events(*["a.b"] * 30, *["c.d"] * 21), SECOND, EVERYTHING)
    assert rows == [Fold("c.d", SECOND, 21, 31, 51), Fold("a.b", SECOND, 30, 1, 30)]


def test_failures_and_alerts_stay_rows_in_a_flood() -> None:
    flood = events(*["a.b"] * 100, "evaluation.failed", "alert.critical", *["a.b"] * 100)
    rows = rows_of(flood, SECOND, EVERYTHING)
    assert [row.type for row in rows] == ["a.b", "alert.critical", "evaluation.failed"]
    assert isinstance(rows[0], Fold)
    assert rows[0].count == 200


def test_only_failures_beyond_what_a_page_holds_fold() -> None:
    rows = rows_of(events(*["evaluation.failed"] * 1000), SECOND, EVERYTHING)
    shown = [row for row in rows if isinstance(row, Event)]
    assert [row.sequence for row in shown] == list(range(1000, 1000 - ROWS_AT_ONCE, -1))
    assert [row for row in rows if isinstance(row, Fold)] == [
        Fold("evaluation.failed", SECOND, 800, 1, 800)
    ]


def test_a_burst_of_failures_is_rows_and_a_lasting_flood_of_them_folds() -> None:
    now = 100.0
    budget = RowBudget(lambda: now)
    flood = events(*["evaluation.failed"] * 150)
    shown = []
    for tick in range(50):
        now = 100.0 + tick / 10
        rows = rows_of(flood, SECOND, EVERYTHING, budget.left)
        budget.spend(len(rows))
        single = sum(isinstance(row, Event) for row in rows)
        assert single + sum(row.count for row in rows if isinstance(row, Fold)) == 150
        shown.append(single)
    assert shown[0] == 150
    assert sum(shown) <= ROWS_AT_ONCE + 500 * 5
    assert min(shown) >= 45
    now += 60
    assert budget.left == ROWS_AT_ONCE


def folded(flood: Flood, count: int) -> int:
    """How many of ``count`` events of one tick are in lines that count."""
    rows = rows_of(
        events(*["a.b"] * count), SECOND, EVERYTHING, ROWS_AT_ONCE, flood.after(count)
    )  # fmt: skip
    return sum(row.count for row in rows if isinstance(row, Fold))


def test_more_than_a_person_can_follow_folds_after_a_second_though_no_tick_is_too_much() -> None:
    now = 100.0
    flood = Flood(lambda: now)
    lines = []
    for tick in range(50):
        now = 100.0 + tick / 10
        lines.append(folded(flood, 40))  # 400 a second
    assert lines[:10] == [0] * 10  # a burst is rows
    assert lines[15:] == [40] * 35
    now += 0.1
    assert folded(flood, 5) == 0  # shorter than a line for each type
    now += 4.0
    assert folded(flood, 40) == 0


def test_what_a_person_can_follow_never_folds() -> None:
    now = 100.0
    flood = Flood(lambda: now)
    for tick in range(600):
        now = 100.0 + tick / 10
        assert folded(flood, 10) == 0


def test_a_line_of_failures_says_that_there_were_too_many() -> None:
    lines = fold(events("evaluation.failed", "a.b"), SECOND, EVERYTHING)
    assert [line.is_important for line in lines] == [True, False]


def test_what_never_folds_is_told_by_the_type() -> None:
    for type in ("evaluation.failed", "evaluation.exhausted", "a.stalled", "a.b.retry", "alert.x"):
        assert never_folds(type), type
    for type in ("evaluation.completed", "failed.login", "alerts.x", "retry.later"):
        assert not never_folds(type), type


def test_too_many_types_fold_into_one_line_that_the_views_pattern_finds_again() -> None:
    flood = events(*[f"f{n}.t" for n in range(FOLDS_AT_ONCE + 1)])
    assert fold(flood, SECOND, Pattern("*.t")) == [Fold("*.t", SECOND, 101, 1, 101)]


def test_counts_of_folds_of_one_type_add_up() -> None:
    folds = [Fold("a", 1, 3, 1, 9), Fold("b", 1, 1, 2, 2), Fold("a", 2, 4, 10, 20)]
    assert counts_by_type(folds) == {"a": 7, "b": 1}


@given(st.lists(st.sampled_from(FEW_TYPES) | st.from_regex(r"[a-c]\.[a-z]{1,2}", fullmatch=True),
                max_size=400))  # fmt: skip
def test_every_event_is_shown_or_counted_exactly_once(types: list[str]) -> None:
    given_events = events(*types)
    rows = rows_of(given_events, SECOND, EVERYTHING)
    shown = {row.sequence for row in rows if isinstance(row, Event)}
    folds = [row for row in rows if isinstance(row, Fold)]
    assert len(shown) + sum(each.count for each in folds) == len(given_events)
    assert len(shown) <= ROWS_AT_ONCE
    assert len(folds) <= FOLDS_AT_ONCE
    for each in folds:
        pattern = Pattern(each.type)
        behind_it = [
            one for one in given_events
            if pattern.matches(one.type) and one.sequence not in shown
        ]  # fmt: skip
        assert each.count == len(behind_it)
        assert (each.first, each.last) == (behind_it[0].sequence, behind_it[-1].sequence)
    assert [row.sequence for row in rows] == sorted((row.sequence for row in rows), reverse=True)


@given(st.lists(st.integers(1, 1000), min_size=1, max_size=200))
def test_merging_down_keeps_the_sum_of_the_counts(counts: list[int]) -> None:
    folds = [Fold(f"f{n % 70}.t{n}", SECOND, count, n, n + count) for n, count in enumerate(counts)]
    merged = merge_down(folds, EVERYTHING)
    assert len(merged) <= FOLDS_AT_ONCE
    assert sum(each.count for each in merged) == sum(counts)
