"""Inspect AI's objects as the data of events: whatever they hold, a bus takes it."""

from __future__ import annotations

import math
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from eventbus import Event
from eventbus.integrations import inspect_payloads as payloads

anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(st.characters())
    | st.binary(max_size=4) | st.sampled_from(["\x00", "\ud800", "x" * 3000]),
    lambda inner: st.lists(inner, max_size=5) | st.tuples(inner)
    | st.dictionaries(st.text(st.characters(), max_size=5) | st.integers(), inner, max_size=5),
    max_leaves=30,
)  # fmt: skip


def found_error(message: str, traceback: str = "") -> Any:
    return SimpleNamespace(message=message, traceback=traceback)


@given(anything)
def test_any_value_becomes_data_that_a_bus_takes(value: Any) -> None:
    Event.create("a.b", {"value": payloads.plain(value)})


def test_values_that_json_can_say_stay_as_they_are() -> None:
    value = {"a": [1, 2.5, None, True, "text"], "b": {"c": {}}}
    assert payloads.plain(value) == value


@pytest.mark.parametrize("number", [math.nan, math.inf, -math.inf])
def test_numbers_that_json_does_not_know_become_text(number: float) -> None:
    assert payloads.plain(number) == str(number)


def test_endless_nesting_ends() -> None:
    loop: list[Any] = []
    loop.append(loop)
    Event.create("a.b", {"value": payloads.plain(loop)})
    assert len(payloads.plain(list(range(1000)))) == payloads.MAX_ITEMS


@pytest.mark.parametrize(
    ("message", "traceback", "type", "shown"),
    [
        ("ValueError('a \\x00 one')", "…\nValueError: a   one\n", "ValueError", "a \ufffd one"),
        ('KeyError("it\'s")', "", "KeyError", "it's"),
        ("slow down", "…\nopenai.RateLimitError: slow down\n", "RateLimitError", "slow down"),
        ("OSError(2, 'No such file')", "", "OSError", "OSError(2, 'No such file')"),
        ("TimeoutError()", "…\nTimeoutError\n", "TimeoutError", "TimeoutError()"),
        ("no idea", "", "Error", "no idea"),
        ("", "", "Error", ""),
        ("ValueError(" + "(" * 5000 + ")", "", "ValueError", None),
    ],
)  # fmt: skip
def test_an_error_tells_its_type_and_message(
    message: str, traceback: str, type: str, shown: str | None
) -> None:
    error = payloads.error(found_error(message, traceback))
    assert error["type"] == type
    assert error["severity"] == "error"
    if shown is not None:
        assert error["message"] == shown


def test_of_a_long_traceback_the_end_is_kept() -> None:
    error = payloads.error(found_error("ValueError('x')", "y" * 50_000 + "\nValueError: x"))
    assert len(error["traceback"]) == payloads.MAX_TRACEBACK_CHARS
    assert error["traceback"].endswith("ValueError: x")


def test_a_cancellation_is_told_from_an_error_in_both_async_libraries() -> None:
    assert payloads.is_cancellation(found_error("CancelledError('by scope')"))
    assert payloads.is_cancellation(found_error("Cancelled()"))
    assert not payloads.is_cancellation(found_error("CancelledOrderError('x')"))
    assert not payloads.is_cancellation(None)


def test_a_log_in_a_cloud_is_not_asked_for_its_size(tmp_path) -> None:
    assert payloads.log_file("s3://bucket/x.eval", "e") == {
        "path": "s3://bucket/x.eval", "eval_id": "e", "kind": "inspect-log",
    }  # fmt: skip
    file = tmp_path / "x.eval"
    file.write_bytes(b"12345")
    for location in (str(file), f"file://{file}"):
        data = payloads.log_file(location, "e")
        assert data is not None
        assert data["bytes"] == 5
    assert payloads.log_file(str(tmp_path / "none.eval"), "e") is None
