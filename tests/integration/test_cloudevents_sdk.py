"""The CloudEvents SDK as a client, in both directions, and the conformance project's scenarios.

The scenarios are those of its features/http-protocol-binding.feature and format/json/*.json.
"""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any
from uuid import uuid4

import pytest
from cloudevents.core.bindings import http as binding
from cloudevents.core.bindings.http import HTTPMessage
from cloudevents.core.v1.event import CloudEvent

from tests.helpers.api import Answer, Api
from tests.helpers.server import ServerProcess

STRUCTURED = "application/cloudevents+json"
BATCH = "application/cloudevents-batch+json"
MINIMAL = {
    "specversion": "1.0", "id": "minimal", "type": "io.cloudevents.test",
    "source": "https://cloudevents.io",
}  # fmt: skip


@pytest.fixture
def api(shared_server: ServerProcess) -> Api:
    return shared_server.api


def made(**more: Any) -> CloudEvent:
    attributes = {
        "specversion": "1.0", "id": f"sdk-{uuid4()}", "type": "sdk.sent", "source": "/sdk",
        "time": datetime(2026, 1, 2, 3, 4, 5, 678901, tzinfo=UTC), **more,
    }  # fmt: skip
    return CloudEvent(attributes, {"n": 1, "ü": ["€", None]})


def send(api: Api, message: HTTPMessage) -> Answer:
    headers = {**message.headers, "Content-Type": message.headers.get("content-type", "")}
    headers.pop("content-type", None)
    return api.request("POST", "/api/events", message.body, headers)


def read_back(api: Api, id: str) -> CloudEvent:
    answer = api.request("GET", f"/api/events/{id}", headers={"Accept": STRUCTURED})
    assert answer.headers["content-type"] == STRUCTURED
    event = binding.from_structured_event(HTTPMessage(answer.headers, answer.body))
    assert isinstance(event, CloudEvent)
    return event


@pytest.mark.parametrize("write", [binding.to_structured_event, binding.to_binary_event])
def test_what_the_sdk_sends_is_what_it_reads_back(api: Api, write: Any) -> None:
    event = made(
        subject='Größe "1" 100% 😀 ',
        dataschema="https://example.com/schemas/sent",
        datacontenttype="application/json",
        traceparent="00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
    )
    answer = send(api, write(event))
    assert answer.status == 202, answer.text
    found = read_back(api, event.get_id())
    for name in ("id", "type", "source", "subject", "time", "dataschema", "datacontenttype"):
        assert getattr(found, f"get_{name}")() == getattr(event, f"get_{name}")(), name
    assert found.get_extension("traceparent") == event.get_extension("traceparent")
    assert found.get_data() == event.get_data()


def test_a_batch_of_the_sdk_is_recorded_and_read_back_page_by_page(api: Api) -> None:
    family = f"batch{uuid4().hex[:8]}"
    events = [made(type=f"{family}.sent") for _ in range(5)]
    body = b",".join(bytes(binding.to_structured_event(event).body) for event in events)
    answer = api.request("POST", "/api/events", b"[" + body + b"]", {"Content-Type": BATCH})
    assert answer.status == 202, answer.text
    found, path = [], f"/api/events?type={family}.*&order=asc&limit=2"
    while path:
        answer = api.request("GET", path, headers={"Accept": BATCH})
        assert answer.headers["content-type"] == BATCH
        for each in answer.json:
            message = HTTPMessage({"content-type": STRUCTURED}, json.dumps(each).encode())
            found.append(binding.from_structured_event(message))
        path = answer.headers.get("link", "").partition(">")[0].removeprefix("<")
    assert [event.get_id() for event in found] == [event.get_id() for event in events]


SCENARIO_BODY = b'{\n    "message": "Hello World!"\n}\n'


@pytest.mark.parametrize("content_type", ["application/json", "application/json; charset=utf-8"])
@pytest.mark.parametrize("spelling", [str, str.upper, str.title])
def test_scenario_binary_content_mode(api: Api, content_type: str, spelling: Any) -> None:
    name = f"1234-{uuid4()}"
    headers = {
        "ce-specversion": "1.0", "ce-type": "com.example.someevent",
        "ce-time": "2018-04-05T03:56:24Z", "ce-id": name, "ce-source": "/mycontext/subcontext",
        "Content-Type": content_type,
    }  # fmt: skip
    headers = {spelling(field): value for field, value in headers.items()}
    assert api.request("POST", "/api/events", SCENARIO_BODY, headers).status == 202
    event = api.get(f"/api/events/{name}").json
    assert event["type"] == "com.example.someevent"
    assert event["source"] == "/mycontext/subcontext"
    assert event["time"] == "2018-04-05T03:56:24.000000Z"
    assert event["datacontenttype"] == "application/json"
    assert event["data"] == {"message": "Hello World!"}


@pytest.mark.parametrize("content_type", [STRUCTURED, f"{STRUCTURED}; charset=utf-8"])
def test_scenario_structured_content_mode(api: Api, content_type: str) -> None:
    sent = {
        "specversion": "1.0", "type": "com.example.someevent", "time": "2018-04-05T03:56:24Z",
        "id": f"1234-{uuid4()}", "source": "/mycontext/subcontext",
        "datacontenttype": "application/json", "data": {"message": "Hello World!"},
    }  # fmt: skip
    body = json.dumps(sent)
    assert api.request("POST", "/api/events", body, {"Content-Type": content_type}).status == 202
    event = api.get(f"/api/events/{sent['id']}").json
    assert event == {**event, **sent, "time": "2018-04-05T03:56:24.000000Z"}


VALID = {
    "minimal": {},
    "null for what is optional": {
        "datacontenttype": None, "dataschema": None, "subject": None, "time": None,
    },
    "time in UTC": {"time": "2018-04-05T17:31:00Z"},
    "time to nanoseconds": {"time": "2018-04-05T17:31:00.000000000Z"},
    "time with a positive offset": {"time": "2018-04-05T18:31:00+01:00"},
    "time with a negative offset": {"time": "2018-04-05T16:31:00-01:00"},
    "relative source": {"source": "#fragment"},
    "data in base64": {"data_base64": "eyAieHl6IjogMTIzIH0="},
}  # fmt: skip


@pytest.mark.parametrize("name", VALID)
def test_a_valid_event_of_the_conformance_project_is_taken(api: Api, name: str) -> None:
    event = {**MINIMAL, "id": f"valid-{uuid4()}", **VALID[name]}
    answer = api.request("POST", "/api/events", json.dumps(event), {"Content-Type": STRUCTURED})
    assert answer.status == 202, answer.text
    found = api.get(answer.headers["location"]).json
    if "time" in name:
        assert found["time"] == "2018-04-05T17:31:00.000000Z"


EXTENSIONS = {"extinteger": 10, "extboolean": True, "extstring": "text", "tracestate": "a=1,b=2"}


def test_extensions_come_back_as_they_were_sent(api: Api) -> None:
    for write, sent in (
        (binding.to_structured_event, EXTENSIONS),
        # Headers bear text alone (HTTP binding 1.0.2 §3.1.3).
        (binding.to_binary_event, {**EXTENSIONS, "extinteger": "10", "extboolean": "true"}),
    ):
        event = made(**(EXTENSIONS if write is binding.to_structured_event else sent))
        assert send(api, write(event)).status == 202
        found = read_back(api, event.get_id())
        assert {name: found.get_extension(name) for name in sent} == sent


def test_text_as_data_cannot_be_kept_and_is_refused_by_name(api: Api) -> None:
    event = {**MINIMAL, "datacontenttype": "text/plain", "data": "Simple text"}
    answer = api.request("POST", "/api/events", json.dumps(event), {"Content-Type": STRUCTURED})
    assert answer.status == 400
    assert answer.json["errors"][0]["pointer"] == "/datacontenttype"


INVALID = {
    "no specversion": {"specversion": None},
    "no id": {"id": None},
    "no type": {"type": None},
    "no source": {"source": None},
    "time that is garbage": {"time": "lunchtime"},
    "time to the minute": {"time": "2018-04-05T18:31Z"},
    "time with offset X": {"time": "2018-04-05T18:31:00X"},
    "time with an offset out of range": {"time": "2018-04-05T18:31:00+25:00"},
    "time with an offset that is no number": {"time": "2018-04-05T18:31:00+xx:00"},
    "time with an offset of hours only": {"time": "2018-04-05T18:31:00+05"},
    "an empty id": {"id": ""},
    "an empty type": {"type": ""},
    "an empty source": {"source": ""},
    "an empty specversion": {"specversion": ""},
    "an unknown specversion": {"specversion": "0.9"},
    "a data content type that is none": {"datacontenttype": "xyz"},
    "an empty data content type": {"datacontenttype": ""},
    "an empty data schema": {"dataschema": ""},
    "an empty subject": {"subject": ""},
    "an id that is a number": {"id": 25},
    "an id that is an object": {"id": {"xyz": "abc"}},
    "a capital letter in an extension": {"MyExtension": "bad"},
    "a dot in an extension": {"my.extension": "bad"},
    "an extension that is a fraction": {"myextension": 1.5},
    "both data and data in base64": {"data": {}, "data_base64": "eyAieHl6IjogMTIzIH0="},
}


@pytest.mark.parametrize("name", INVALID)
def test_an_invalid_event_of_the_conformance_project_is_refused(api: Api, name: str) -> None:
    event = {**MINIMAL, **INVALID[name]}
    if name.startswith("no "):
        event = {key: value for key, value in event.items() if value is not None}
    before = api.get("/api/stats").json["sequence"]
    for body, content_type in ((event, STRUCTURED), ([MINIMAL, event], BATCH)):
        headers = {"Content-Type": content_type}
        answer = api.request("POST", "/api/events", json.dumps(body), headers)
        assert answer.status == 400, answer.text
        assert answer.headers["content-type"] == "application/problem+json"
    assert api.get("/api/stats").json["sequence"] == before


def test_batches_of_the_conformance_project(api: Api) -> None:
    def post(batch: list[Any]) -> Answer:
        return api.request("POST", "/api/events", json.dumps(batch), {"Content-Type": BATCH})

    assert post([]).json == {"events": []}
    twice = {**MINIMAL, "id": f"twice-{uuid4()}"}
    first, second = post([twice, twice]).json["events"]
    assert (first["duplicate"], second["duplicate"]) == (False, True)
    assert first["sequence"] == second["sequence"]


@pytest.mark.parametrize("content_type", ["text/plain", "application/xml", "application/avro"])
def test_binary_mode_with_data_that_is_not_json_is_refused(api: Api, content_type: str) -> None:
    headers = {f"ce-{name}": value for name, value in MINIMAL.items()}
    answer = api.request("POST", "/api/events", b"x", {**headers, "Content-Type": content_type})
    assert answer.status == 415
    assert "application/json" in answer.headers["accept-post"]
