"""The attempts of an evaluation, out of its events, in order or not, complete or not."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from app.pages.attempts import attempts, bars
from eventbus import Event

START = datetime(2026, 11, 24, 9, 30, tzinfo=UTC)


def _events(*steps: tuple[str, dict[str, Any]]) -> list[Event]:
    return [
        Event.create(
            f"evaluation.{kind}", {"eval_id": "e-1", **data}, time=START + timedelta(seconds=10 * n)
        )
        for n, (kind, data) in enumerate(steps)
    ]


def test_each_start_and_failure_with_numbers_is_one_attempt() -> None:
    spans = attempts(_events(
        ("started", {"retry_count": 0}), ("failed", {"retry_count": 0, "error": "a"}),
        ("retry", {"retry_count": 1}),
        ("started", {"retry_count": 1}), ("failed", {"retry_count": 1, "error": "b"}),
        ("exhausted", {"retry_count": 1}),
    ))  # fmt: skip
    assert [(s.number, s.outcome, s.error) for s in spans] == [
        (1, "failed", "a"),
        (2, "failed", "b"),
    ]
    assert [s.duration_ms for s in spans] == [10_000, 10_000]


def test_without_numbers_a_start_after_a_failure_is_the_next_attempt() -> None:
    spans = attempts(_events(("started", {}), ("failed", {}), ("started", {}), ("completed", {})))
    assert [(s.number, s.outcome) for s in spans] == [(1, "failed"), (2, "completed")]


def test_a_second_start_of_a_running_attempt_changes_nothing() -> None:
    spans = attempts(_events(("started", {}), ("started", {}), ("completed", {})))
    assert [(s.number, s.duration_ms) for s in spans] == [(1, 20_000)]


def test_a_stalled_attempt_may_still_end() -> None:
    spans = attempts(_events(("started", {}), ("stalled", {"attempt": 1}), ("completed", {})))
    assert [(s.outcome, s.duration_ms) for s in spans] == [("completed", 20_000)]


def test_an_end_without_a_start_has_no_duration() -> None:
    (span,) = attempts(_events(("failed", {"retry_count": 2})))
    assert (span.number, span.outcome, span.duration_ms) == (3, "failed", None)


def test_a_retry_that_was_asked_for_is_an_attempt_that_waits() -> None:
    spans = attempts(_events(
        ("started", {}), ("failed", {}), ("retry", {"retry_count": 1, "by": "ana"}),
    ))  # fmt: skip
    assert [(s.number, s.outcome, s.asked_by) for s in spans] == [
        (1, "failed", None), (2, None, "ana"),
    ]  # fmt: skip
    spans = attempts(_events(
        ("started", {}), ("failed", {}), ("retry", {"retry_count": 1}),
        ("started", {"retry_count": 1}),
    ))  # fmt: skip
    assert spans[1].waited_ms == 10_000


def test_a_cancellation_ends_the_newest_attempt() -> None:
    spans = attempts(_events(("started", {}), ("started", {"attempt": 2}), ("cancelled", {})))
    assert [(s.number, s.outcome) for s in spans] == [(1, None), (2, "cancelled")]


def test_bars_share_one_axis() -> None:
    spans = attempts(_events(("started", {}), ("failed", {}), ("started", {})))
    first, second = bars(spans, now=START + timedelta(seconds=40))
    assert (first.x, first.width) == (0, 250)
    assert (second.x, second.width) == (500, 500)


@given(
    st.lists(
        st.tuples(
            st.sampled_from(
                ["started", "failed", "completed", "retry", "stalled", "exhausted", "cancelled"]
            ),
            st.one_of(
                st.just({}),
                st.builds(lambda n: {"retry_count": n}, st.integers(-2, 5) | st.just("x")),
                st.builds(lambda n: {"attempt": n}, st.integers(-2, 5) | st.booleans()),
            ),
        ),
        max_size=20,
    )
)
def test_any_history_can_be_drawn(steps: list[tuple[str, dict[str, Any]]]) -> None:
    spans = attempts(_events(*steps))
    assert [s.number for s in spans] == sorted({s.number for s in spans})
    for bar in bars(spans, now=START + timedelta(seconds=300)):
        assert 0 <= bar.x <= 992
        assert 8 <= bar.width <= 1000
