"""Query parameters: checked values, or a 400 that names the parameter, the rule and the value."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import pytest
from flask import Flask

from app.api import parameters
from app.api.common import LIMIT, SINCE, TYPE
from app.api.event_query import AFTER, SUBJECT, TEXT
from app.openapi import kinds
from app.openapi.fields import Field
from app.problems import ProblemError

SECONDS = Field("timeout", kinds.number(0, 30.0, "seconds"), "A wait.", default=10.0)
CHOICE = Field("state", kinds.choice(("open", "resolved")), "A state.")


def read(reader: Callable[[], Any], query: str) -> Any:
    with Flask(__name__).test_request_context(f"/?{query}"):
        return reader()


def refused(reader: Callable[[], Any], query: str) -> ProblemError:
    with pytest.raises(ProblemError) as caught:
        read(reader, query)
    assert caught.value.status == 400
    return caught.value


def test_a_missing_or_empty_parameter_gives_the_default() -> None:
    assert read(LIMIT.read, "") == 50
    assert read(LIMIT.read, "limit=") == 50
    assert read(TEXT.read, "q=") is None
    assert read(AFTER.read, "") is None


@pytest.mark.parametrize(
    "value", ["abc", "-1", "0", "1001", "1e2", "1_0", "%20", "٣", "9" * 30, "1.0", "0x10", "%00"]
)
def test_a_limit_that_is_not_a_number_in_its_bounds_is_refused(value: str) -> None:
    problem = refused(LIMIT.read, f"limit={value}")
    assert problem.errors[0]["parameter"] == "limit"
    assert problem.errors[0]["pointer"] == "/limit"


def test_positions_reach_to_the_largest_the_database_can_hold() -> None:
    assert read(AFTER.read, f"after={2**63 - 1}") == 2**63 - 1
    refused(AFTER.read, f"after={2**63}")


@pytest.mark.parametrize("value", ["%00", "a%0Ab", "%ED%A0%80%00", "x" * 1025])
def test_text_that_no_event_can_have_is_refused(value: str) -> None:
    refused(SUBJECT.read, f"subject={value}")


def test_a_time_may_have_its_plus_as_a_space() -> None:
    expected = datetime(2026, 11, 24, 8, 30, tzinfo=UTC)
    for text in ("2026-11-24T09:30:00%2B01:00", "2026-11-24T09:30:00+01:00"):
        assert read(SINCE.read, f"since={text}") == expected


@pytest.mark.parametrize(
    "value", ["now", "2026-11-24", "2026-13-01T00:00:00Z", "0001-01-01T00:00:00%2B10:00", "1"]
)
def test_a_time_that_does_not_exist_or_has_no_zone_is_refused(value: str) -> None:
    refused(SINCE.read, f"since={value}")


@pytest.mark.parametrize("value", ["a..b", "ev*", "a.%00", ".", "%23%23", "x" * 300])
def test_a_pattern_that_breaks_the_dialect_is_refused(value: str) -> None:
    assert refused(TYPE.read, f"type={value}").errors[0]["parameter"] == "type"


@pytest.mark.parametrize("value", ["0", "-1", "31", "nan", "inf", "soon", "1e400"])
def test_seconds_out_of_bounds_are_refused(value: str) -> None:
    refused(SECONDS.read, f"timeout={value}")
    assert read(SECONDS.read, "timeout=0.5") == 0.5


def test_a_choice_names_what_is_allowed() -> None:
    problem = refused(CHOICE.read, "state=shut")
    assert "open, resolved" in problem.detail


def read_body(body: bytes, content_type: str | None) -> dict[str, Any]:
    context = Flask(__name__).test_request_context(
        "/", method="POST", data=body, content_type=content_type
    )
    with context:
        return parameters.body_object()


def test_a_small_body_may_be_json_a_form_or_nothing() -> None:
    assert read_body(b'{"by": "eva"}', "application/json") == {"by": "eva"}
    assert read_body(b"by=eva", "application/x-www-form-urlencoded") == {"by": "eva"}
    assert read_body(b"", None) == {}


@pytest.mark.parametrize("body", [b"[1]", b"nope", b"\xff", b'"x"', b"[" * 10_000])
def test_a_small_body_that_is_not_an_object_is_refused(body: bytes) -> None:
    with pytest.raises(ProblemError) as caught:
        read_body(body, "application/json")
    assert caught.value.status == 400
    assert caught.value.errors[0]["pointer"] == ""


def test_a_small_body_of_another_type_is_refused() -> None:
    with pytest.raises(ProblemError) as caught:
        read_body(b"<by/>", "text/xml")
    assert caught.value.status == 415
