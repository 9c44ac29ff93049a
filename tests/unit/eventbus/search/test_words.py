"""What people type into the search box, and what it means."""

from __future__ import annotations

import pytest

from eventbus.errors import SearchTextError
from eventbus.log.words import Words, parts


@pytest.mark.parametrize(
    ("text", "match"),
    [
        ("RateLimitError", '"RateLimitError"'),
        ("two words", '"two" "words"'),
        ('"two words"', '"two words"'),
        ("eval-42", '"eval 42"'),
        ("rate*", '"rate" *'),
        ('"over the qu"*', '"over the qu" *'),
        ("NEAR OR AND NOT", '"NEAR" "OR" "AND" "NOT"'),
        ("data:x ^y (z)", '"data x" "y" "z"'),
        ("0.82", '"0 82"'),
    ],
)
def test_no_sign_means_anything_to_the_index(text: str, match: str) -> None:
    assert Words.parse(text).match == match


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ('"open', "a quote that is not closed"),
        ("  ", "is empty"),
        ("fine --", "no letter or digit"),
        ("*", "no letter or digit"),
        ("a*", "too short a beginning"),
        (" ".join(["w"] * 17), "at most 16"),
    ],
)
def test_what_cannot_be_looked_for_is_said(text: str, says: str) -> None:
    with pytest.raises(SearchTextError, match=says):
        Words.parse(text)


def test_every_word_can_be_widened_to_a_beginning() -> None:
    words = Words.parse('rate "two wo" x')
    assert words.can_widen
    assert Words.parse("rate* b").can_widen is False


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("a RateLimitError: 429", "Rate Limit Error"),
        ("getHTTPResponse, HTTPError", "get HTTP Response HTTP Error"),
        ("rate_limit eval-42 ERROR plain 3x", ""),
        ("gpt4Turbo x_maxRetries", "gpt4 Turbo max Retries"),
        ("xY" * 40, ""),  # no word of a person's
    ],
)
def test_words_that_are_written_together_have_parts(text: str, found: str) -> None:
    assert parts(text) == found
