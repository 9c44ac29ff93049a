"""Reading JSON text: values, and what is said of text that is none."""

from __future__ import annotations

import pytest

from eventbus.errors import JsonTextError
from eventbus.json_reader import read_json


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ('{"a": 1,}', "must be JSON: .* at line 1, column [89]"),
        ('{\n "a": tru\n}', "must be JSON: Expecting value at line 2, column 7"),
        (b"", "must be JSON: Expecting value at line 1, column 1"),
        ("[NaN]", "must be JSON: NaN is not a JSON number"),
        ('{"a": 1, "a": 2}', "must be JSON: an object has the name 'a' twice"),
        (b'"\xff"', "must be UTF-8, byte 0xff at 1 is not"),
        ("[" * 100_000, "is nested too deeply"),
        ('{"a": ' + "9" * 5_000 + "}", "has a number of more than 4,300 digits"),
    ],
)
def test_text_that_is_no_json_is_told_what_is_wrong_where(text: str | bytes, problem: str) -> None:
    with pytest.raises(JsonTextError, match=f"^{problem}$"):
        read_json(text)


def test_a_byte_order_mark_is_skipped_and_others_may_repeat_a_name() -> None:
    assert read_json(b'\xef\xbb\xbf{"a": null}') == {"a": None}
    assert read_json('{"a": 1, "a": 2}', is_strict=False) == {"a": 2}
