"""The event: its defaults, reading it like a dict, immutability, and round trips."""

from __future__ import annotations

import copy
import json
import pickle
import uuid
from collections.abc import Mapping
from datetime import UTC, datetime
from types import MappingProxyType
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from eventbus.errors import EventValidationError
from eventbus.event import Event
from tests.helpers.events import events, json_values, payloads, text


def test_an_event_gets_sensible_attributes_when_none_are_given() -> None:
    before = datetime.now(UTC)
    event = Event.create("queue.task.added")
    assert uuid.UUID(event.id).version == 7
    assert event.source == "/eventbus"
    assert event.subject == "queue.task.added"
    assert before <= event.time <= datetime.now(UTC)
    assert event.sequence is None
    assert event.correlationid == event.id
    assert event.causationid is event.traceparent is event.dataschema is None
    assert event.datacontenttype == "application/json"
    assert event.depth == 0
    assert event.data == {}
    assert event.data_json == "{}"
    assert event.family == "queue"


@pytest.mark.parametrize(
    ("data", "subject"),
    [
        ({"eval_id": "eval-42", "task_id": "t-1"}, "eval-42"),
        ({"task_id": "t-1"}, "t-1"),
        ({"eval_id": 42}, "42"),
        ({"eval_id": "", "task_id": "t-1"}, "t-1"),
        ({"eval_id": " "}, "a.b"),
        ({"eval_id": None, "task_id": True}, "a.b"),
        ({"eval_id": ["x"]}, "a.b"),
        ({"eval_id": "x" * 2000}, "a.b"),
        ({"eval_id": "line\nbreak"}, "line\ufffdbreak"),
        (None, "a.b"),
    ],
)
def test_the_subject_comes_from_the_data_else_the_type(data: Any, subject: str) -> None:
    assert Event.create("a.b", data).subject == subject


def test_a_given_subject_wins() -> None:
    assert Event.create("a.b", {"eval_id": "x"}, subject="mine").subject == "mine"


# -- reading it like a dict ---------------------------------------------------------------------


def test_an_event_reads_like_its_data() -> None:
    event = Event.create("evaluation.failed", {"eval_id": "e", "error": {"severity": "critical"}})
    assert event["eval_id"] == "e"
    assert event["error"].get("severity") == "critical"
    assert event.get("retry_count", 0) == 0
    assert event.get("retry_count") is None
    assert "error" in event
    assert "retry_count" not in event
    assert 5 not in event
    assert list(event) == ["eval_id", "error"]
    assert len(event) == 2
    assert {**event} == event.data
    assert dict(event.items()) == event.data
    assert isinstance(event, Mapping)
    with pytest.raises(KeyError):
        event["retry_count"]


def test_timestamp_falls_back_on_the_time_of_the_envelope() -> None:
    event = Event.create("a.b", time="2026-11-24T09:30:00Z")
    assert event["timestamp"] == "2026-11-24T09:30:00.000000Z"
    assert event.get("timestamp") == "2026-11-24T09:30:00.000000Z"
    assert "timestamp" in event
    assert list(event) == []
    assert Event.create("a.b", {"timestamp": 5})["timestamp"] == 5


def test_an_event_is_true_even_with_no_data() -> None:
    # A mapping with no keys is false by default; "if event:" must not depend on the payload.
    assert Event.create("a.b")


def test_any_mapping_can_be_data() -> None:
    assert Event.create("a.b", MappingProxyType({"a": (1, 2)})).data == {"a": [1, 2]}


# -- immutability -------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["id", "type", "data", "sequence", "colour"])
def test_an_event_cannot_be_changed(name: str) -> None:
    event = Event.create("a.b")
    with pytest.raises(AttributeError):
        setattr(event, name, "x")
    with pytest.raises(AttributeError):
        delattr(event, name)
    with pytest.raises(TypeError):
        event["a"] = 1  # type: ignore[index]


def test_what_a_publisher_or_reader_does_to_the_data_stays_with_them() -> None:
    given = {"list": [1]}
    event = Event.create("a.b", given)
    given["list"].append(2)
    twin = event.evolve(sequence=7)
    twin.data["list"].append(3)
    event.to_dict()["data"]["list"].append(4)
    assert event.data == {"list": [1]}
    assert json.loads(twin.to_json())["data"] == {"list": [1]}


def test_a_copy_evolves_without_touching_its_original() -> None:
    event = Event.create("a.b", {"n": 1}, subject="s")
    recorded = event.evolve(sequence=7, depth=2)
    assert (recorded.sequence, recorded.depth, recorded.subject) == (7, 2, "s")
    assert event.sequence is None
    assert recorded == event  # the same source and id


@given(events)
def test_events_survive_copying_and_pickling(event: Event) -> None:
    for twin in (copy.copy(event), copy.deepcopy(event), pickle.loads(pickle.dumps(event))):
        assert twin.to_dict() == event.to_dict()
        assert twin.depth == event.depth


def test_events_are_equal_when_source_and_id_are() -> None:
    event = Event.create("a.b", {"n": 1}, id="1", source="/s")
    assert event == Event.create("c.d", id="1", source="/s")
    assert hash(event) == hash(Event.create("c.d", id="1", source="/s"))
    assert event != Event.create("a.b", {"n": 1}, id="2", source="/s")
    assert event != Event.create("a.b", {"n": 1}, id="1", source="/t")
    assert event != {"n": 1}


def test_the_repr_tells_what_it_is() -> None:
    assert repr(Event.create("a.b", id="1", subject="s")) == (
        "<Event a.b id=1 subject=s sequence=None>"
    )


# -- round trips --------------------------------------------------------------------------------


@given(events, st.none() | st.integers(1, 2**60))
def test_an_event_survives_its_json_form(event: Event, sequence: int | None) -> None:
    event = event.evolve(sequence=sequence)
    as_dict = event.to_dict()
    assert json.loads(event.to_json()) == as_dict
    assert as_dict.get("sequence") == sequence
    assert as_dict["specversion"] == "1.0"
    again = Event.from_dict(json.loads(event.to_json()))
    assert again.sequence is None  # a sequence belongs to a log, not to the sender
    for name in Event.__slots__:
        if name not in ("sequence", "_data"):
            assert getattr(again, name) == getattr(event, name)


@given(payloads)
def test_data_reads_as_it_was_given(data: dict[str, Any]) -> None:
    assert Event.create("a.b", data).data == data


@given(
    st.dictionaries(st.text(max_size=5) | st.integers(), st.binary() | json_values | st.floats())
)
def test_any_data_is_either_refused_with_a_pointer_or_kept_exactly(data: Any) -> None:
    try:
        event = Event.create("a.b", data)
    except EventValidationError as error:
        assert all(e.pointer.startswith("/data") for e in error.errors)
    else:
        assert event.data == data


@given(st.dictionaries(text, json_values) | json_values)
def test_any_json_is_either_an_event_or_a_validation_error(value: Any) -> None:
    try:
        event = Event.from_dict(value)
    except EventValidationError as error:
        assert error.errors
    else:
        assert event.type == value["type"]


def test_the_short_form_needs_a_type_alone() -> None:
    event = Event.from_dict({"type": "a.b"}, source="/api")
    assert (event.type, event.source, event.data) == ("a.b", "/api", {})
    assert Event.from_dict({"type": "a.b", "source": "/mine"}, source="/api").source == "/mine"


def test_null_stands_for_an_attribute_that_is_not_given() -> None:
    # CloudEvents JSON format 1.0.2 §2.2
    names = {"id", "source", "subject", "time", "data", "dataschema", "traceparent"}
    names |= {"correlationid", "causationid"}
    event = Event.from_dict({"type": "a.b", **dict.fromkeys(names)})
    assert event.subject == "a.b"
