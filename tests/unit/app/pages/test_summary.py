"""What a list's row says about a payload: the point of it in one bounded line, whatever it is."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given

from app.pages.summary import MAX_CHARS, clip, error_line, error_message, size, summarize
from eventbus import Event
from tests.helpers.events import json_values, payloads, types

ERROR = {"type": "TimeoutError", "message": "no answer\nwithin 600 s", "severity": "critical"}


@pytest.mark.parametrize(
    ("type", "data", "says"),
    [
        ("evaluation.progress", {"done": 12, "total": 50}, "12 of 50 done"),
        ("evaluation.progress", {"done": 12, "errors": 2}, "12 done · 2 with errors"),
        ("evaluation.started", {"task": "gsm8k", "model": "m", "total": 9},
         "gsm8k · m · 9 samples"),
        ("evaluation.completed", {"result": {"accuracy": 0.9123456, "n": 3}},
         "accuracy 0.912346 · n 3"),
        ("evaluation.failed", {"error": ERROR, "retry_count": 2},
         "TimeoutError: no answer within 600 s · attempt 3"),
        ("evaluation.failed", {"error": "boom"}, "boom"),
        ("evaluation.retry", {"retry_count": 1}, "asks for attempt 2"),
        ("evaluation.stalled", {"attempt": 1, "bound_s": 3600.0}, "silent for longer than 1 h"),
        ("monitoring.metric.recorded", {"metric": "loss", "value": 0.25, "unit": "nats"},
         "loss = 0.25 nats"),
        ("storage.file.created", {"path": "a/b.eval", "bytes": 1536}, "a/b.eval · 1.5 KiB"),
        ("queue.task.added", {"queue": "gpu", "task_id": "t-1"}, "gpu · t-1"),
        ("alert.critical", {"service": "disk", "error": "full"}, "disk · full"),
        ("monitoring.metric.incremented", {"metric": "free_gpus", "by": -3}, "free_gpus −3"),
        ("monitoring.metric.incremented", {"metric": "n", "by": 1234567}, "n +1234567"),
        ("monitoring.metric.incremented", {"metric": "n", "by": 0.5}, "n +0.5"),
        ("alert.muted", {"alert_id": "a", "by": "maya", "mode": "24h"}, "for 24 h by maya"),
        ("vendor.thing", {"a": True, "b": None, "c": [1, {"x": 1}], "timestamp": "now"},
         "a: true · b: null · c: [1, …]"),
        ("vendor.thing", {}, ""),
    ],
)  # fmt: skip
def test_the_point_of_a_payload_is_one_line(type: str, data: dict[str, Any], says: str) -> None:
    assert summarize(Event.create(type, data)) == says


def test_what_repeats_the_subject_is_left_out() -> None:
    event = Event.create("vendor.thing", {"eval_id": "e-1", "n": 1})
    assert summarize(event) == "n: 1"


@given(type=types, data=payloads)
def test_every_payload_has_a_line_of_bounded_length(type: str, data: dict[str, Any]) -> None:
    line = summarize(Event.create(type, data))
    assert len(line) <= MAX_CHARS
    assert "\n" not in line


@given(
    type=types.map(lambda tail: f"evaluation.{tail}"),
    error=json_values,
    result=json_values,
    done=json_values,
)
def test_wrong_shapes_under_known_names_still_have_a_line(
    type: str, error: Any, result: Any, done: Any
) -> None:
    for name in (type, "evaluation.failed", "evaluation.completed", "evaluation.progress",
                 "evaluation.stalled", "evaluation.started", "alert.critical",
                 "storage.file.created", "monitoring.metric.recorded"):  # fmt: skip
        data = {"error": error, "result": result, "done": done, "total": done, "bytes": done,
                "path": error, "metric": result, "bound_s": done, "service": error}  # fmt: skip
        assert len(summarize(Event.create(name[:255].rstrip("."), data))) <= MAX_CHARS


def test_a_large_payload_is_not_read_for_one_line() -> None:
    assert summarize(Event.create("vendor.thing", {"a": "x" * 100_000})) == "97 KiB of data"


def test_an_error_is_read_as_text_or_as_an_object() -> None:
    assert error_line(ERROR) == "TimeoutError: no answer within 600 s"
    assert error_message(ERROR) == "no answer within 600 s"
    assert error_line({"message": "only this"}) == error_message({"message": "only this"})
    assert error_line(None) == ""
    assert error_line({"code": 5}) == "{code: 5}"


@pytest.mark.parametrize(
    ("count", "text"),
    [(0, "0 B"), (1023, "1023 B"), (1024, "1.0 KiB"), (5 << 20, "5.0 MiB"), (3 << 40, "3.0 TiB"),
     ("many", "many"), (None, "null")],
)  # fmt: skip
def test_sizes_are_for_people(count: Any, text: str) -> None:
    assert size(count) == text


def test_clipping_says_that_something_is_missing() -> None:
    assert clip("a b\n c", 10) == "a b c"
    assert clip("abcdef", 4) == "abc…"
