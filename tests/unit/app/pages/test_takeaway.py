"""What is taken away from a page runs, and publishes just what the page shows."""

from __future__ import annotations

import ast
import io
import json
import shlex
import subprocess
from contextlib import redirect_stdout
from types import SimpleNamespace
from typing import Any
from unittest.mock import patch

from hypothesis import given, settings
from hypothesis import strategies as st

from app.pages.json_text import compact, pretty, tokens
from app.pages.takeaway import as_curl, as_python
from tests.helpers.events import attributes, json_values, payloads, types
from tests.helpers.examples import examples

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


@given(st.lists(payloads, min_size=1, max_size=4))
@settings(max_examples=examples(8), deadline=None)
def test_a_real_shell_hands_curl_the_event_as_it_was(several: list[dict[str, Any]]) -> None:
    events = [{"type": "a.b", "data": {**data, "it's": "$(id) `id` \\ \"!!\" \n %s"}}
              for data in several]  # fmt: skip
    events.append({"type": "a.b", "data": {"long": "'$x\\" * 40_000}})  # no argument holds that
    # Instead of curl: the body, from the last argument or from standard input, and a NUL.
    stand_in = """curl() { for last do :; done
        if [ "$last" = @- ]; then cat; else printf %s "$last"; fi; printf '\\0'; }\n"""
    script = stand_in + "\n".join(as_curl(BASE, event) for event in events)
    ran = subprocess.run(["/bin/sh"], input=script.encode(), capture_output=True, check=True)
    bodies = ran.stdout.split(b"\0")
    assert [json.loads(body) for body in bodies[:-1]] == events
    assert (bodies[-1], ran.stderr) == (b"", b"")


@given(type=types, data=payloads, subject=attributes)
@settings(deadline=None)
def test_the_python_program_runs_and_publishes_the_event_as_it_was(
    type: str, data: dict[str, Any], subject: str
) -> None:
    calls: list[Any] = []

    class StandIn:
        def __init__(self, url: str) -> None:
            calls.append(url)

        __enter__ = lambda self: self  # noqa: E731
        __exit__ = lambda self, *_: None  # noqa: E731

        def publish(self, *args: Any, **kwargs: Any) -> Any:
            calls.append((args, kwargs))
            return SimpleNamespace(wait=lambda: None)

    with patch("eventbus.RemoteEventBus", StandIn), redirect_stdout(io.StringIO()):
        exec(as_python(BASE, {"type": type, "data": data, "subject": subject, "delay": "1.5"}))
    assert calls == [BASE, ((type, data), {"subject": subject, "delay": "1.5"})]


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
