"""What a terminal would obey is written out instead."""

from __future__ import annotations

import io
import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from eventbus.command.safe import safe, safe_json
from eventbus.command.screen import Screen
from tests.helpers.examples import examples


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("plain ä 漢字 😀", "plain ä 漢字 😀"),
        ("\x1b[31mred\x1b[0m", "\\x1b[31mred\\x1b[0m"),
        ("bell\x07 del\x7f csi\x9b2J", "bell\\x07 del\\x7f csi\\x9b2J"),
        ("a\nb\rc\td", "a\\nb\\rc\\td"),
        ("exe.\u202egnp", "exe.\\u202egnp"),
        ("\u2066in\u2069 zero\u200bwidth", "\\u2066in\\u2069 zero\\u200bwidth"),
        ("half \ud800 tag \U000e0041", "half \\ud800 tag \\U000e0041"),
    ],
)
def test_characters_that_do_not_print_themselves_are_escaped(text: str, shown: str) -> None:
    assert safe(text) == shown


@settings(max_examples=examples(40))
@given(
    st.recursive(
        st.text() | st.integers() | st.none(), lambda v: st.lists(v) | st.dictionaries(st.text(), v)
    )
)
def test_json_stays_the_same_value_and_prints_itself(value: object) -> None:
    for indent in (None, 2):
        text = safe_json(value, indent)
        assert json.loads(text) == value
        assert all(line.isprintable() for line in text.split("\n"))
    assert "\n" not in safe_json(value)


@given(st.lists(st.text()))
def test_a_screen_lets_nothing_through_but_its_own_colours(parts: list[str]) -> None:
    out = io.StringIO()
    screen = Screen(out, io.StringIO(), "always", {})
    screen.line(*parts, *(screen.paint(part, "red") for part in parts))
    text = out.getvalue().replace("\x1b[31m", "").replace("\x1b[0m", "")
    assert text.endswith("\n") and text[:-1].isprintable()
