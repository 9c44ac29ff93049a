"""The steady rate: exact over time, even per tick, forgiving after a long sleep."""

from __future__ import annotations

import itertools

import pytest

from app.demo.pace import TICK_S, Pace


@pytest.mark.parametrize("rate", [0.5, 1, 20, 99, 100, 333, 2000])
def test_the_count_never_strays_from_the_schedule(rate: float) -> None:
    pace, now_s, taken = Pace(rate, 50.0), 50.0, 0
    most = 0
    while now_s < 60.0:
        due = pace.take(now_s)
        taken, most = taken + due, max(most, due)
        # The first is due at once, so n events stand for n - 1 intervals.
        assert taken - 1 <= (now_s - 50.0) * rate + 1e-3 < taken + 1e-3
        now_s += max(pace.wait_s(now_s), 1e-9)
    assert most <= max(1, rate * TICK_S + 1)


def test_being_late_is_made_up_for() -> None:
    pace = Pace(100, 0.0)
    assert [pace.take(now_s) for now_s in (0.0, 0.5, 0.51)] == [1, 50, 1]


def test_what_a_suspended_machine_missed_is_left_out() -> None:
    pace = Pace(100, 0.0)
    pace.take(0.0)
    assert pace.take(3600.0) == 100
    assert pace.take(3600.0) == 0
    assert sum(pace.take(3600.0 + tick / 100) for tick in range(1, 101)) == 100


def test_waits_are_long_at_low_rates_and_never_shorter_than_a_tick_at_high_ones() -> None:
    slow, fast = Pace(1, 0.0), Pace(2000, 0.0)
    slow.take(0.0)
    fast.take(0.0)
    assert slow.wait_s(0.25) == pytest.approx(0.75)
    assert fast.wait_s(0.0) == pytest.approx(TICK_S)


def test_nothing_is_due_before_its_time() -> None:
    pace = Pace(10, 0.0)
    counts = [pace.take(now_s) for now_s in itertools.repeat(0.05, 3)]
    assert counts == [1, 0, 0]
