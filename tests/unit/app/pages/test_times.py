"""Times as text, and texts as times."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.pages import times

NOW = datetime(2026, 11, 24, 9, 30, tzinfo=UTC)


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0, "just now"), (2.9, "just now"), (3, "3 s ago"), (59.9, "59 s ago"), (60, "1 min ago"),
     (3_599, "59 min ago"), (3_600, "1 h ago"), (86_400 * 3, "3 d ago"), (-5, "in 5 s")],
)  # fmt: skip
def test_ages_have_one_unit(seconds: float, text: str) -> None:
    assert times.ago(NOW - timedelta(seconds=seconds), NOW) == text


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(-1, "0:00"), (42, "0:42"), (725, "12:05"), (11_045, "3:04:05"), (183_845, "2d 03:04:05")],
)
def test_a_running_clock_reads_like_one(seconds: float, text: str) -> None:
    assert times.elapsed(seconds) == text


@pytest.mark.parametrize(
    ("milliseconds", "text"),
    [(None, "–"), (0, "0 ms"), (0.02, "<0.1 ms"), (0.44, "0.4 ms"), (340.4, "340 ms"),
     (4_240, "4.2 s"), (125_000, "2 min 5 s"), (120_000, "2 min"), (3_600_000, "1 h"),
     (11_045_000, "3 h 4 min"), (90_000_000, "1 d 1 h"), (-340, "−340 ms")],
)  # fmt: skip
def test_durations_have_two_units_at_most(milliseconds: float | None, text: str) -> None:
    assert times.span(milliseconds) == text


@pytest.mark.parametrize(
    ("text", "moment"),
    [
        ("15m", NOW - timedelta(minutes=15)),
        ("-2h", NOW - timedelta(hours=2)),
        (" 7d ", NOW - timedelta(days=7)),
        ("2026-11-24T09:30:00Z", NOW),
        ("2026-11-24T15:00:00+05:30", NOW),
        ("2026-11-24T09:30", NOW),
        ("2026-11-24 09:30:00", NOW),
        ("2026-11-24T15:00+05:30", NOW),
        ("2026-11-24", datetime(2026, 11, 24, tzinfo=UTC)),
    ],
)
def test_moments_are_read_as_people_write_them(text: str, moment: datetime) -> None:
    assert times.parse_moment(text, NOW) == moment


@given(st.text(max_size=40))
def test_any_text_is_a_moment_or_a_clear_error(text: str) -> None:
    try:
        moment = times.parse_moment(text, NOW)
    except ValueError as error:
        assert "1h" in str(error) or "longer ago" in str(error)
    else:
        assert moment.tzinfo is not None
        times.clock(moment), times.exact(moment)


def test_a_clock_of_another_day_says_which() -> None:
    assert times.clock(datetime(2020, 2, 3, 4, 5, 6, 7_000, tzinfo=UTC)) == "Feb 03 04:05:06.007"
