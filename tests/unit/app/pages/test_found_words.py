"""Lines of events that were found by words: they show where, marked."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given

from app.pages.found_words import FoundWords
from eventbus import Event
from eventbus.log.words import Words
from tests.helpers.events import payloads

RESULT = {"task": "gsm8k", "deep": {"list": [{"note": "a <b> needle\nhere"}]}, "n": 7}
LONG = {"text": "hay " * 100 + "needle" + " hay" * 100}


def line(text: str, data: dict[str, Any], type: str = "vendor.thing") -> str:
    return str(FoundWords(Words.parse(text)).line(Event.create(type, data, subject="s-1")))


@pytest.mark.parametrize(
    ("text", "data", "says"),
    [
        ("gsm8k", {"task": "GSM8K"}, "task: <mark>GSM8K</mark>"),
        ("limit", {"error": "RateLimitError"}, "Rate<mark>Limit</mark>Error"),
        ("rat*", {"note": "no ratings"}, "note: no <mark>ratings</mark>"),
        ("in", {"note": "training in rain"}, "note: training <mark>in</mark> rain"),
        ('"the quota"', {"note": "over the\nquota"}, "note: over <mark>the quota</mark>"),
        ("task-1", {"note": "of task-1 & 2"}, "note: of <mark>task-1</mark> &amp; 2"),
        ("s-1", {"a": "b"}, "a: b"),
        ("thing", {"a": "b"}, "a: b"),
    ],
)
def test_words_are_marked_as_the_search_reads_them(
    text: str, data: dict[str, Any], says: str
) -> None:
    assert line(text, data) == says


def test_what_the_line_does_not_say_stands_before_it_with_its_place() -> None:
    assert line("needle", {"list": [{"x": 1}] * 9 + [RESULT]}) == (
        "list[9].deep.list[0].note: a &lt;b&gt; <mark>needle</mark> here · list: […, …, …, …, …]"
    )
    found = line("needle", LONG)
    assert found.startswith("text: …hay hay hay <mark>needle</mark> hay")
    deep = {"deep": {"list": [{"depth": 7}]}}
    assert line("depth_7", deep).startswith("deep.list[0].<mark>depth: 7</mark> · ")


def test_a_payload_that_is_not_read_for_one_line_has_its_line() -> None:
    assert line("needle", {"text": "needle " * 9_000}) == "61 KiB of data"


@given(data=payloads)
def test_every_payload_has_a_line_without_markup_of_its_own(data: dict[str, Any]) -> None:
    text = line("a <b", data)
    assert "<" not in text.replace("<mark>", "").replace("</mark>", "")
