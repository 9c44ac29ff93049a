"""How the templates' filters put numbers and errors into words."""

from __future__ import annotations

import pytest

from app.pages.filters import sentence, signed


@pytest.mark.parametrize(
    ("change", "text"),
    [
        (-48400.0, "−48\u202f400"),
        (1_234_567.0, "+1\u202f234\u202f567"),
        (0.0249999, "+0.025"),
        (-0.5, "−0.5"),
        (999.5, "+999.5"),
        (1e300, "+1e+300"),
    ],
)
def test_a_difference_is_readable_whatever_its_size(change: float, text: str) -> None:
    assert signed(change) == text


@pytest.mark.parametrize(
    ("said", "read"),
    [
        ("no event has told of it", "No event has told of it."),
        ("there is nothing at /x_1", "There is nothing at /x_1."),
        ("eval_id is too long", "eval_id is too long."),
        ("delivery must be given", "delivery must be given."),
        ("'ev*' is wrong", "'ev*' is wrong."),
        ("was it renamed?", "Was it renamed?"),
    ],
)
def test_an_error_reads_as_a_sentence(said: str, read: str) -> None:
    assert sentence(said) == read
