"""What is taken away from a page runs, and publishes just what the page shows."""

from __future__ import annotations

import ast
import json
import shlex
from typing import Any

from hypothesis import given

from app.pages.json_text import compact, pretty, tokens
from app.pages.takeaway import as_curl, as_python
from tests.helpers.events import attributes, json_values, payloads, types

BASE = "http://127.0.0.1:8000"


@given(type=types, data=payloads, subject=attributes)
def test_the_curl_command_is_one_command_with_the_event_as_its_body(
    type: str, data: dict[str, Any], subject: str
) -> None:
    event = {"type": type, "data": data, "subject": subject}
    words = shlex.split(as_curl(BASE, event))
    assert words[:4] == ["curl", "-X", "POST", f"{BASE}/api/events"]
    assert json.loads(words[words.index("-d") + 1]) == event


@given(type=types, data=payloads, subject=attributes)
def test_the_python_program_calls_publish_with_the_event(
    type: str, data: dict[str, Any], subject: str
) -> None:
    program = ast.parse(as_python(BASE, {"type": type, "data": data, "subject": subject}))
    (call,) = [
        node for node in ast.walk(program)
        if isinstance(node, ast.Call) and getattr(node.func, "attr", "") == "publish"
    ]  # fmt: skip
    assert [ast.literal_eval(argument) for argument in call.args] == [type, data]
    assert {k.arg: ast.literal_eval(k.value) for k in call.keywords} == {"subject": subject}


@given(json_values)
def test_the_coloured_pieces_of_json_are_the_whole_text(value: Any) -> None:
    for text in (pretty(value), compact(value)):
        assert json.loads(text) == value
        assert "".join(piece for _, piece in tokens(text)) == text


def test_json_pieces_know_what_they_are() -> None:
    found = list(tokens('{"a": "b: c", "n": -1.5e3, "t": true}'))
    assert [(kind, piece) for kind, piece in found if kind != "plain"] == [
        ("key", '"a"'), ("string", '"b: c"'), ("key", '"n"'), ("number", "-1.5e3"),
        ("key", '"t"'), ("word", "true"),
    ]  # fmt: skip


def test_a_long_text_is_one_plain_piece() -> None:
    text = json.dumps(["x" * 70_000])
    assert list(tokens(text)) == [("plain", text)]
