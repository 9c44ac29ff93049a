"""Small charts: what the eye reads off them is what the numbers say."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.pages.chart import HEIGHT, WIDTH, bars, line

numbers = st.lists(st.floats(min_value=0, max_value=1e9), max_size=80)


@given(numbers)
def test_every_column_is_inside_the_box_and_stands_on_its_floor(values: list[float]) -> None:
    for bar in bars(values):
        assert bar.x >= -0.01 and bar.x + bar.width <= WIDTH + 0.01
        assert bar.y >= 0
        assert bar.y + bar.height == pytest.approx(HEIGHT, abs=0.02)


@given(numbers)
def test_a_larger_value_never_has_a_smaller_column(values: list[float]) -> None:
    drawn = sorted(bars(values), key=lambda bar: bar.value)
    assert [bar.height for bar in drawn] == sorted(bar.height for bar in drawn)


def test_one_in_a_million_can_still_be_seen_and_nothing_cannot() -> None:
    assert [bar.height > 0 for bar in bars([1, 1_000_000, 0])] == [True, True, False]


def test_columns_of_two_charts_compare_when_they_share_their_most() -> None:
    assert bars([5], most=10)[0].height == HEIGHT / 2


def test_a_line_goes_from_edge_to_edge_and_breaks_where_nothing_is_known() -> None:
    assert line([0, None, 2, 1]) == "M0.00 23.50M66.67 0.50L100.00 12.00"


def test_a_flat_line_of_zeros_lies_on_the_floor_and_no_value_draws_nothing() -> None:
    assert line([0, 0]) == "M0.00 23.50L100.00 23.50"
    assert line([]) == line([None, None]) == ""
