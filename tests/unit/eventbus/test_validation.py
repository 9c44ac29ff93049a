"""The rules of the envelope: a wrong field is refused with its pointer, the rule and the value."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest

from eventbus.errors import EventBusError, EventValidationError, FieldError
from eventbus.event import Event
from eventbus.validation import shown
from tests.helpers.events import TRACEPARENT, errors_of

SURROGATE = "\ud83d"


def nested(levels: int) -> dict[str, Any]:
    data: dict[str, Any] = {}
    for _ in range(levels - 1):
        data = {"a": data}
    return data


@pytest.mark.parametrize(
    ("type", "rule"),
    [
        ("", "must not be empty"),
        ("a" * 300, "at most 255 characters"),
        (".".join("a" * 17), "at most 16 segments"),
        ("evaluation.*", "wildcard"),
        ("#", "wildcard"),
        ("a..b", "empty segment"),
        ("a b", "between its dots"),
        ("<script>", "between its dots"),
        (f"a.{SURROGATE}", "between its dots"),
        ("a\x00", "between its dots"),
        (None, "must be text"),
        (7, "must be text"),
        (["a"], "must be text"),
    ],
)
def test_a_bad_type_is_refused(type: Any, rule: str) -> None:
    assert rule in errors_of(Event.create, type)["/type"]


@pytest.mark.parametrize(
    "name", ["id", "source", "subject", "dataschema", "correlationid", "causationid"]
)
@pytest.mark.parametrize(
    ("value", "rule"),
    [
        ("", "must not be empty"),
        (" \t", "must not be empty"),
        ("x" * 1025, "at most 1024 characters, not 1025"),
        ("a\x00b", "U+0000 at position 1"),
        ("a\nb", "U+000A"),
        ("a\x9fb", "U+009F"),
        (f"a{SURROGATE}", "U+D83D"),
        (7, "must be text, not 7"),
        (False, "must be text, not false"),
        ({}, "must be text, not {}"),
    ],
)
def test_a_bad_attribute_is_refused(name: str, value: Any, rule: str) -> None:
    assert rule in errors_of(Event.create, "a.b", **{name: value})[f"/{name}"]


@pytest.mark.parametrize(
    ("value", "rule"),
    [
        ("yesterday", "RFC 3339"),
        ("2026-11-24", "RFC 3339"),
        ("2026-11-24T09:30:00", "with a zone"),
        ("2026-11-24 09:30:00Z", "RFC 3339"),
        ("2026-02-30T09:30:00Z", "not a date that exists"),
        ("2026-11-24T25:00:00Z", "not a date that exists"),
        ("0001-01-01T00:00:00+14:00", "not a date that exists"),
        ("٢٠٢٦-11-24T09:30:00Z", "RFC 3339"),
        (1_700_000_000, "RFC 3339"),
        (datetime(2026, 11, 24), "must have a time zone"),
        (datetime.min.replace(tzinfo=timezone(timedelta(hours=1))), "given was"),
    ],
)
def test_a_bad_time_is_refused(value: Any, rule: str) -> None:
    assert rule in errors_of(Event.create, "a.b", time=value)["/time"]


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        ("2026-11-24T09:30:00Z", "2026-11-24T09:30:00.000000Z"),
        ("2026-11-24t09:30:00.5z", "2026-11-24T09:30:00.500000Z"),
        ("2026-11-24T09:30:00.123456789Z", "2026-11-24T09:30:00.123456Z"),
        ("2026-11-24T09:30:00+05:30", "2026-11-24T04:00:00.000000Z"),
        ("0999-01-01T00:00:00Z", "0999-01-01T00:00:00.000000Z"),
        (datetime(2026, 11, 24, 9, tzinfo=timezone(timedelta(hours=2))),
         "2026-11-24T07:00:00.000000Z"),
    ],
)  # fmt: skip
def test_a_time_is_kept_in_utc_with_microseconds(value: Any, shown: str) -> None:
    event = Event.create("a.b", time=value)
    assert event.time.tzinfo is UTC
    assert event.to_dict()["time"] == shown


@pytest.mark.parametrize("value", ["", "00-abc", TRACEPARENT.upper(), TRACEPARENT + "\n", 5])
def test_a_bad_traceparent_is_refused(value: Any) -> None:
    assert "traceparent" in errors_of(Event.create, "a.b", traceparent=value)["/traceparent"]


@pytest.mark.parametrize(
    ("data", "pointer", "rule"),
    [
        ([], "/data", "must be a JSON object, not []"),
        ("text", "/data", "must be a JSON object"),
        (7, "/data", "must be a JSON object"),
        ({"a": float("nan")}, "/data/a", "finite number"),
        ({"a": [1, {"b": float("-inf")}]}, "/data/a/1/b", "finite number"),
        ({"a": "x\x00y"}, "/data/a", "NUL"),
        ({"a": {"x\x00y": 1}}, "/data/a", "key"),
        ({"a": [f"x{SURROGATE}"]}, "/data/a/0", "lone surrogate"),
        ({SURROGATE: 1}, "/data", "lone surrogate"),
        ({"a/b": {"c~d": {1}}}, "/data/a~1b/c~0d", "must be JSON"),
        ({"a": b"bytes"}, "/data/a", "must be JSON"),
        ({"a": datetime.now(UTC)}, "/data/a", "must be JSON"),
        ({7: 1}, "/data", "a key that is not text: 7"),
        ({"a": {None: 1}}, "/data/a", "a key that is not text: None"),
        ({"a": [[{True: 1}]]}, "/data/a/0/0", "a key that is not text: True"),
        ({"a": ({"b": ({7: 1},)},)}, "/data/a/0/b/0", "a key that is not text: 7"),
        (nested(65), "/data" + "/a" * 64, "nested deeper than 64 levels"),
        (nested(900), "/data" + "/a" * 64, "nested deeper than 64 levels"),
        (nested(10_000), "/data" + "/a" * 64, "nested deeper than 64 levels"),
    ],
)  # fmt: skip
def test_data_that_json_or_the_bus_does_not_allow_is_refused(
    data: Any, pointer: str, rule: str
) -> None:
    errors = errors_of(Event.create, "a.b", data)
    assert list(errors) == [pointer]
    assert rule in errors[pointer]


def test_data_that_contains_itself_is_refused() -> None:
    data: dict[str, Any] = {}
    data["a"] = [data]
    (pointer,) = errors_of(Event.create, "a.b", data)
    assert pointer.startswith("/data/a/0/a")


def test_data_may_be_nested_to_the_limit() -> None:
    assert Event.create("a.b", nested(64)).data == nested(64)
    assert len(Event.create("a.b", {"brackets": "[{" * 99})["brackets"]) == 198


def test_a_backslash_before_u0000_is_not_a_nul() -> None:
    assert Event.create("a.b", {"a": "\\u0000"})["a"] == "\\u0000"


def test_the_size_limit_counts_bytes_of_utf8() -> None:
    # {"a":"…"} is eight bytes around the text, and é takes two.
    assert Event.create("a.b", {"a": "é" * 4}, max_bytes=16).data_json == '{"a":"éééé"}'
    assert (
        "at most 15 bytes of JSON, not 16"
        in (errors_of(Event.create, "a.b", {"a": "é" * 4}, max_bytes=15)["/data"])
    )


def test_the_default_size_limit_is_256_kib() -> None:
    room = 256 * 1024 - len('{"a":""}')
    assert len(Event.create("a.b", {"a": "x" * room}).data_json) == 262144
    assert (
        "at most 262144 bytes" in errors_of(Event.create, "a.b", {"a": "x" * (room + 1)})["/data"]
    )


def test_every_wrong_field_is_named_at_once() -> None:
    errors = errors_of(
        Event.create, "a.*", [], id="", source=1, subject="\n", time="x", traceparent="x"
    )
    assert set(errors) == {
        "/type", "/data", "/id", "/source", "/subject", "/time", "/traceparent"
    }  # fmt: skip


def test_a_validation_error_reads_well_and_moves_under_a_prefix() -> None:
    error = EventValidationError([FieldError("/type", "is bad"), FieldError("", "is odd")])
    assert str(error) == "/type: is bad; /: is odd"
    assert [e.pointer for e in error.under("/3").errors] == ["/3/type", "/3"]
    assert isinstance(error, ValueError)
    assert isinstance(error, EventBusError)


@pytest.mark.parametrize(
    ("value", "pointer", "rule"),
    [
        ([], "", "must be a JSON object, not []"),
        (None, "", "must be a JSON object"),
        ("a.b", "", "must be a JSON object"),
        ({}, "/type", "is required"),
        ({"type": None}, "/type", "must be text"),
        ({"type": "a.b", "specversion": "0.3"}, "/specversion", 'must be "1.0"'),
        ({"type": "a.b", "specversion": 1.0}, "/specversion", 'must be "1.0"'),
        ({"type": "a.b", "datacontenttype": "text/xml"}, "/datacontenttype", "text/xml"),
        ({"type": "a.b", "datacontenttype": 5}, "/datacontenttype", "application/json"),
        ({"type": "a.b", "payload": {}}, "/payload", "is not an attribute"),
        ({"type": "a.b", "a/b~\n": {}}, "/a~1b~0\ufffd", "is not an attribute"),
        ({"type": "a.b", SURROGATE: {}}, "/\ufffd", "is not an attribute"),
        ({"type": "a.b", "depth": 0}, "/depth", "is not an attribute"),
        ({"type": "a.b", "data": []}, "/data", "must be a JSON object"),
    ],
)
def test_an_object_that_is_no_event_is_refused(value: Any, pointer: str, rule: str) -> None:
    errors = errors_of(Event.from_dict, value)
    assert list(errors) == [pointer]
    assert rule in errors[pointer]


def test_an_object_with_countless_unknown_members_gets_a_short_answer() -> None:
    value = {"type": "a.b", **{f"x{number}": 1 for number in range(10_000)}}
    with pytest.raises(EventValidationError) as caught:
        Event.from_dict(value)
    assert len(str(caught.value)) < 50_000


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, "null"), (True, "true"), ({"a": [1, None, False]}, '{"a": [1, null, false]}'),
        ("text", "'text'"), (1.5, "1.5"), ([{"n": "x" * 90}], '[{"n": "' + "x" * 69 + "..."),
        ([object()], "a list"), (["\u202e"], r'["\u202e"]'),
    ],
)  # fmt: skip
def test_a_wrong_value_is_shown_as_who_sent_json_wrote_it(value: object, text: str) -> None:
    assert shown(value) == text


def test_of_a_large_or_endless_value_only_the_beginning_is_looked_at() -> None:
    endless: list[object] = []
    endless.append(endless)
    assert shown(endless) == "a list"
    assert shown([0] * 10**6) == "[" + "0, " * 25 + "0..."
