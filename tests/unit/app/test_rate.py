"""Events per second, over the last few seconds."""

from __future__ import annotations

from app.rate import WINDOW_S, RateMeter


class Clock:
    def __init__(self) -> None:
        self.now = 1000.5

    def __call__(self) -> float:
        return self.now


def test_before_a_second_is_over_it_counts_what_came_so_far() -> None:
    meter = RateMeter(Clock())
    assert meter.per_second() == 0.0
    meter.count([1, 2, 3])
    assert meter.per_second() == 3.0


def test_it_is_the_mean_of_the_whole_seconds_so_far() -> None:
    clock = Clock()
    meter = RateMeter(clock)
    for count in (10, 20, 30):
        meter.count([0] * count)
        clock.now += 1
    assert meter.per_second() == 20.0


def test_a_steady_stream_has_a_steady_rate() -> None:
    clock = Clock()
    meter = RateMeter(clock)
    for _ in range(5 * WINDOW_S):
        meter.count([0] * 7)
        clock.now += 1
    assert meter.per_second() == 7.0


def test_silence_takes_the_rate_down_to_nothing() -> None:
    clock = Clock()
    meter = RateMeter(clock)
    meter.count([0] * 90)
    clock.now += WINDOW_S - 1
    assert meter.per_second() == 10.0
    clock.now += 1
    assert meter.per_second() == 0.0


def test_a_pause_of_hours_is_no_longer_than_the_window() -> None:
    clock = Clock()
    meter = RateMeter(clock)
    meter.count([0] * 90)
    clock.now += 36_000
    meter.count([0] * 9)
    clock.now += 1
    assert meter.per_second() == 1.0
