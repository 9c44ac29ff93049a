"""The CloudEvents HTTP binding: every content mode, what bad requests are told, and round trips."""

from __future__ import annotations

import json
from base64 import b64encode
from typing import Any
from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from eventbus.cloudevents import (
    BATCH_CONTENT_TYPE,
    MAX_ERRORS,
    STRUCTURED_CONTENT_TYPE,
    decode,
    encode,
    encode_batch,
)
from eventbus.errors import EventValidationError, UnsupportedContentTypeError
from eventbus.event import Event
from eventbus.extensions import as_text
from tests.helpers.events import events

JSON = "application/json"
MODES = [JSON, STRUCTURED_CONTENT_TYPE, BATCH_CONTENT_TYPE, "binary"]
ENVELOPE = {"specversion": "1.0", "id": "A234-1234", "source": "/mine", "type": "queue.task.added"}
BINARY = {"Content-Type": JSON} | {f"ce-{name}": value for name, value in ENVELOPE.items()}


def request(mode: str, data_json: str | bytes) -> tuple[dict[str, str], bytes]:
    """Headers and body of one event with this data, written as the mode wants it."""
    data = data_json.encode() if isinstance(data_json, str) else data_json
    if mode == "binary":
        return BINARY, data
    event = json.dumps(ENVELOPE)[:-1].encode() + b', "data": ' + data + b"}"
    return {"Content-Type": mode}, b"[" + event + b"]" if mode == BATCH_CONTENT_TYPE else event


def errors_of(headers: dict[str, str], body: bytes | str) -> dict[str, str]:
    """The errors of a refused request, pointer to detail."""
    with pytest.raises(EventValidationError) as caught:
        decode(headers, body.encode() if isinstance(body, str) else body)
    assert all((e.pointer + e.detail).isprintable() for e in caught.value.errors)
    return {error.pointer: error.detail for error in caught.value.errors}


# -- modes --------------------------------------------------------------------------------------


@pytest.mark.parametrize("mode", MODES)
def test_every_mode_carries_the_same_event(mode: str) -> None:
    (event,), is_batch = decode(*request(mode, '{"queue": "é", "n": [1]}'))
    assert (event.id, event.source, event.type) == ("A234-1234", "/mine", "queue.task.added")
    assert event.data == {"queue": "é", "n": [1]}
    assert is_batch == (mode == BATCH_CONTENT_TYPE)


def test_the_short_form_may_be_an_array() -> None:
    body = b'[{"type": "a.b"}, {"type": "c.d", "source": "/own"}]'
    decoded = decode({"content-type": "application/json; charset=UTF-8"}, body, source="/api")
    assert decoded.is_batch
    assert [(e.type, e.source) for e in decoded.events] == [("a.b", "/api"), ("c.d", "/own")]
    assert decode({"Content-Type": JSON}, b"[]") == ([], True)
    assert decode({"Content-Type": JSON}, b'[{"type": "a"}]').is_batch


def test_a_batch_may_be_empty() -> None:
    assert decode({"Content-Type": BATCH_CONTENT_TYPE}, b"[]") == ([], True)


def test_header_names_and_media_types_ignore_case() -> None:
    headers = {name.upper(): value for name, value in BINARY.items()}
    headers["CONTENT-TYPE"] = 'Application/JSON;charset="utf-8"'
    assert decode(headers, b"{}").events[0].type == "queue.task.added"


def test_a_binary_event_may_have_neither_body_nor_content_type() -> None:
    headers = {name: value for name, value in BINARY.items() if name != "Content-Type"}
    assert decode(headers, b"").events[0].data == {}
    assert decode(headers, b'{"a": 1}').events[0].data == {"a": 1}


def test_binary_mode_takes_optional_attributes_and_extensions() -> None:
    trace = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
    optional = {"ce-subject": "eval-42", "ce-time": "2026-11-24T09:30:00Z",
                "ce-correlationid": "c", "ce-causationid": "b", "ce-traceparent": trace,
                "ce-dataschema": "https://schemas.test/a", "ce-sequence": "7"}  # fmt: skip
    (event,) = decode(BINARY | optional, b"{}").events
    assert event.subject == "eval-42"
    assert event["timestamp"] == "2026-11-24T09:30:00.000000Z"
    assert (event.correlationid, event.causationid) == ("c", "b")
    assert (event.traceparent, event.dataschema) == (trace, "https://schemas.test/a")
    assert event.sequence is None


def test_other_headers_do_not_matter() -> None:
    headers = {"Content-Type": JSON, "Cookie": "a=b", "CE-Ray": "1", "Traceparent": "x"}
    assert decode(headers, b'{"type": "a.b"}').events[0].type == "a.b"


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        # the examples of the HTTP binding 1.0.2 §3.1.3.2 and its rules one by one
        ("Euro%20%E2%82%AC%20%F0%9F%98%80", "Euro € 😀"),
        ("%22quoted%22", '"quoted"'),
        ("100%25", "100%"),
        ("%2541", "%41"),
        ('"in quotes"', "in quotes"),
        (r'"a \"b\" \\ c"', r'a "b" \ c'),
        ('"%41"', "A"),
        ("a+b", "a+b"),
        ("%zz", "%zz"),
        ("Euro €".encode().decode("latin-1"), "Euro €"),  # sent unencoded, as WSGI shows it
    ],
)
def test_header_values_are_decoded_as_the_binding_says(written: str, meant: str) -> None:
    assert decode(BINARY | {"ce-subject": written}, b"").events[0].subject == meant


@pytest.mark.parametrize("written", ["€", "é", "%ff", "%ED%A0%BD", '"%E2%82"'])
def test_a_header_value_that_is_no_encoded_utf8_is_refused(written: str) -> None:
    errors = errors_of(BINARY | {"ce-subject": written, "ce-dataschema": "%fe"}, b"")
    assert set(errors) == {"/subject", "/dataschema"}
    assert "percent-encoded UTF-8" in errors["/subject"]


@given(events)
def test_an_event_survives_binary_mode(event: Event) -> None:
    envelope = event.to_dict()
    del envelope["data"], envelope["datacontenttype"]
    headers = {
        f"ce-{name}": quote(as_text(value), safe="/:;,?=") for name, value in envelope.items()
    }
    (again,), _ = decode(headers | {"Content-Type": JSON}, event.data_json.encode())
    # Of a header's extension only the text is known.
    texts = {name: as_text(value) for name, value in event.extensions.items()}
    assert again.to_dict() == {**event.to_dict(), **texts}


@given(events)
def test_an_encoded_event_survives_structured_mode(event: Event) -> None:
    (again,), is_batch = decode({"Content-Type": STRUCTURED_CONTENT_TYPE}, encode(event))
    assert again.to_dict() == event.to_dict()
    assert not is_batch


@given(st.lists(events, max_size=4))
def test_an_encoded_batch_survives_batched_mode(sent: list[Event]) -> None:
    again, is_batch = decode({"Content-Type": BATCH_CONTENT_TYPE}, encode_batch(sent))
    assert [event.to_dict() for event in again] == [event.to_dict() for event in sent]
    assert is_batch


def test_data_may_come_as_base64_of_json() -> None:
    value = ENVELOPE | {"data_base64": b64encode(b'{"a": 1}').decode()}
    (event,), _ = decode({"Content-Type": STRUCTURED_CONTENT_TYPE}, json.dumps(value).encode())
    assert event.data == {"a": 1}


@pytest.mark.parametrize(
    ("member", "pointer", "rule"),
    [
        ({"data_base64": "e30=", "data": {}}, "/data_base64", "beside data"),
        ({"data_base64": "*"}, "/data_base64", "must be text in base64, not '*'"),
        ({"data_base64": 5}, "/data_base64", "must be text in base64"),
        ({"data_base64": "é"}, "/data_base64", "must be text in base64"),
        ({"data_base64": b64encode(b"{").decode()}, "/data_base64", "must be JSON"),
        ({"data_base64": b64encode(b"\xff").decode()}, "/data_base64", "must be UTF-8"),
        ({"data_base64": b64encode(b"[]").decode()}, "/data", "must be a JSON object"),
    ],
)
def test_bad_base64_data_is_refused(member: dict[str, Any], pointer: str, rule: str) -> None:
    body = json.dumps(ENVELOPE | member)
    assert rule in errors_of({"Content-Type": STRUCTURED_CONTENT_TYPE}, body)[pointer]


# -- content types ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "content_type",
    [
        "", "text/plain", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x",
        "application/cloudevents", "application/cloudevents+xml", "application/cloudevents-batch",
        "application/jsonx", "json", "application/problem+json",
        "application/json; charset=latin-1", "application/cloudevents+json; charset=utf-16",
    ],
)  # fmt: skip
def test_another_content_type_is_unsupported(content_type: str) -> None:
    with pytest.raises(UnsupportedContentTypeError, match="must be"):
        decode({"Content-Type": content_type}, b'{"type": "a.b"}')


@pytest.mark.parametrize("content_type", ["text/plain", "application/xml", "image/png"])
def test_binary_mode_with_other_data_than_json_is_unsupported(content_type: str) -> None:
    with pytest.raises(UnsupportedContentTypeError, match=content_type):
        decode(BINARY | {"Content-Type": content_type}, b"{}")


def test_a_request_without_content_type_or_event_headers_is_unsupported() -> None:
    with pytest.raises(UnsupportedContentTypeError, match="application/json"):
        decode({}, b'{"type": "a.b"}')


# -- bad bodies ---------------------------------------------------------------------------------


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize(
    ("data", "below_data", "rule"),
    [
        ("[]", "", "must be a JSON object, not []"),
        ('"text"', "", "must be a JSON object"),
        ("5", "", "must be a JSON object"),
        ('{"a": 1e999}', "/a", "must be a finite number"),
        (r'{"a": ["x\u0000"]}', "/a/0", "NUL"),
        (r'{"a": {"b": "\ud83d"}}', "/a/b", "lone surrogate"),
        (r'{"\udc00": 1}', "", "lone surrogate"),
        ('{"a": ' * 70 + "1" + "}" * 70, "/a" * 64, "nested deeper than 64"),
    ],
)
def test_bad_data_is_told_with_its_place(mode: str, data: str, below_data: str, rule: str) -> None:
    errors = errors_of(*request(mode, data))
    pointer = ("/0" if mode == BATCH_CONTENT_TYPE else "") + "/data" + below_data
    assert list(errors) == [pointer]
    assert rule in errors[pointer]


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize(
    ("data", "rule"),
    [
        ('{"a": NaN}', "NaN is not a JSON number"),
        ('{"a": [-Infinity]}', "-Infinity is not a JSON number"),
        ('{"a": 1' + "0" * 5000 + "}", "a number of more than 4,300 digits"),
        ('{"a": ' * 10_000 + "1" + "}" * 10_000, "nested too deeply"),
        ("[" * 10_000, "nested too deeply"),
        (b'{"a": "\xff"}', "must be UTF-8, byte 0xff"),
        ('{"a": "\n"}', "must be JSON: Invalid control character at"),
        ("{'a': 1}", "must be JSON: Expecting property name"),
        ("{", "must be JSON"),
        ("{} {}", "must be JSON"),
        ('{"a": "é"}'.encode("utf-16"), "must be UTF-8"),
    ],
)
def test_a_body_that_is_no_json_is_told_as_such(mode: str, data: str | bytes, rule: str) -> None:
    errors = errors_of(*request(mode, data))
    pointer = "/data" if mode == "binary" else ""
    assert list(errors) == [pointer]
    assert rule in errors[pointer]


@pytest.mark.parametrize("mode", [JSON, STRUCTURED_CONTENT_TYPE, BATCH_CONTENT_TYPE])
@pytest.mark.parametrize("body", ["", " ", "null", "5", '"a.b"', "true", "[[]]"])
def test_a_body_that_is_no_event_is_refused(mode: str, body: str) -> None:
    assert errors_of({"Content-Type": mode}, body)


def test_a_batch_must_be_an_array_and_a_structured_event_must_not() -> None:
    event = json.dumps(ENVELOPE)
    assert "array" in errors_of({"Content-Type": BATCH_CONTENT_TYPE}, event)[""]
    assert "object" in errors_of({"Content-Type": STRUCTURED_CONTENT_TYPE}, f"[{event}]")[""]


def test_a_byte_order_mark_is_skipped() -> None:
    assert decode({"Content-Type": JSON}, b'\xef\xbb\xbf{"type": "a.b"}').events


def test_a_member_given_twice_is_refused_wherever_it_is() -> None:
    for body in (
        b'{"type": "a", "type": "a"}',
        b'{"type": "a", "data": {"x": [{"b": 1, "b": 2}]}}',
    ):
        with pytest.raises(EventValidationError, match="twice"):
            decode({"Content-Type": JSON}, body)


def test_the_size_limit_holds_in_every_mode() -> None:
    for mode in MODES:
        headers, body = request(mode, json.dumps({"a": "x" * 100}))
        assert decode(headers, body, max_bytes=108).events
        with pytest.raises(EventValidationError, match="at most 107 bytes"):
            decode(headers, body, max_bytes=107)


@pytest.mark.parametrize("name", ["specversion", "id", "source", "type"])
@pytest.mark.parametrize("mode", ["binary", STRUCTURED_CONTENT_TYPE])
def test_a_cloudevent_needs_its_required_attributes(mode: str, name: str) -> None:
    headers, body = request(mode, "[]")
    without = {key: value for key, value in headers.items() if key != f"ce-{name}"}
    value = json.loads(body)
    if mode != "binary":
        del value[name]
    errors = errors_of(without, json.dumps(value))
    assert set(errors) == {f"/{name}", "/data"}
    assert "is required in a CloudEvent" in errors[f"/{name}"]


def test_extensions_are_kept_in_every_mode_and_refused_in_the_short_form() -> None:
    (event,) = decode(BINARY | {"ce-colour": "r%C3%B6t"}, b"").events
    assert event.extensions == {"colour": "röt"}
    body = json.dumps(ENVELOPE | {"colour": "red", "count": 3, "big": True, "none": None}).encode()
    (event,) = decode({"Content-Type": STRUCTURED_CONTENT_TYPE}, body).events
    assert event.extensions == {"big": True, "colour": "red", "count": 3}
    assert (
        decode({"Content-Type": STRUCTURED_CONTENT_TYPE}, encode(event)).events[0].to_dict()
        == event.to_dict()
    )
    errors = errors_of({"Content-Type": JSON}, '{"type": "a", "colour": "red"}')
    assert "extensions in a CloudEvent" in errors["/colour"]


# -- batches ------------------------------------------------------------------------------------


def test_a_bad_event_in_an_array_is_named_by_its_index() -> None:
    body = '[{"type": "a"}, {"type": "a.*", "data": 5}, 7, {"type": "b"}, {"type": "c", "x": 1}]'
    errors = errors_of({"Content-Type": JSON}, body)
    assert set(errors) == {"/1/type", "/1/data", "/2", "/4/x"}


def test_a_batch_of_countless_bad_events_gets_a_bounded_answer() -> None:
    errors = errors_of({"Content-Type": JSON}, f"[{','.join('1' * 20_000)}]")
    assert len(errors) == MAX_ERRORS + 1
    assert errors[""] == f"has too many errors; looked at up to index {MAX_ERRORS - 1}"


@given(
    st.binary(max_size=60) | st.text(max_size=60).map(lambda text: text.encode("utf-8", "replace"))
)
def test_any_body_is_decoded_or_refused_as_invalid(body: bytes) -> None:
    for headers in ({"Content-Type": mode} for mode in MODES[:3]):
        with pytest.raises(EventValidationError):
            decode(headers, body + b"x")  # which no JSON text ends with
    try:
        decode(BINARY, body)
    except EventValidationError as error:
        assert error.errors


@given(st.dictionaries(st.sampled_from(list(BINARY)), st.text(max_size=20)))
def test_any_header_values_are_decoded_or_refused(headers: dict[str, str]) -> None:
    try:
        decode(headers, b'{"type": "a.b"}')
    except (EventValidationError, UnsupportedContentTypeError) as error:
        assert str(error)
