"""What HTTP expects of the API: methods, media types, codings, conditions, where a thing is."""

from __future__ import annotations

import gzip
import json
from uuid import uuid4

import pytest

from tests.helpers.raw_websocket import handshake
from tests.helpers.server import ServerProcess

JSON = {"Content-Type": "application/json"}
EVENT = b'{"type": "manners.seen", "data": {}}'


@pytest.mark.parametrize("path", ["/api/stats", "/api/events", "/openapi.json", "/healthz"])
def test_head_is_get_without_the_body(shared_server: ServerProcess, path: str) -> None:
    get, head = (shared_server.api.request(method, path) for method in ("GET", "HEAD"))
    assert (head.status, head.body) == (200, b"")
    assert head.headers["content-type"] == get.headers["content-type"]


@pytest.mark.parametrize(
    ("path", "allowed"),
    [
        ("/api/events", {"GET", "HEAD", "OPTIONS", "POST"}),
        ("/api/stats", {"GET", "HEAD", "OPTIONS"}),
        ("/api/deliveries/redrive", {"POST", "OPTIONS"}),
        ("/api/scheduled/x", {"GET", "HEAD", "OPTIONS", "DELETE"}),
    ],
)
def test_options_and_a_refused_method_say_what_is_allowed(
    shared_server: ServerProcess, path: str, allowed: set[str]
) -> None:
    for method, status in (("OPTIONS", 200), ("PATCH", 405)):
        answer = shared_server.api.request(method, path)
        assert answer.status == status
        assert set(answer.headers["allow"].split(", ")) == allowed


def test_a_recorded_event_is_where_the_location_says(shared_server: ServerProcess) -> None:
    api = shared_server.api
    for name in (f"plain-{uuid4()}", f"with/slash ü?{uuid4()}"):
        answer = api.post("/api/events", {"type": "manners.seen", "id": name})
        assert answer.status == 202
        assert api.get(answer.headers["location"]).json["id"] == name
    assert "location" not in api.post("/api/events", [{"type": "manners.seen"}]).headers
    later = api.post("/api/events", {"type": "manners.seen", "delay": 9999})
    assert "location" not in later.headers


def test_an_event_and_the_document_are_not_sent_again_to_who_has_them(
    shared_server: ServerProcess,
) -> None:
    api = shared_server.api
    name = api.publish("manners.seen")["id"]
    for path in (f"/api/events/{name}", "/openapi.json"):
        first = api.get(path)
        again = api.request("GET", path, headers={"If-None-Match": first.headers["etag"]})
        assert (again.status, again.body) == (304, b"")
        other = api.request("GET", path, headers={"If-None-Match": '"other"'})
        assert (other.status, other.body) == (200, first.body)


@pytest.mark.parametrize(
    "path", ["/api/events", "/api/events/preview", "/api/events/import", "/api/rebuild"]
)
@pytest.mark.parametrize("coding", ["gzip", "br", "deflate, gzip"])
def test_a_compressed_body_is_refused_before_it_is_unpacked(
    shared_server: ServerProcess, path: str, coding: str
) -> None:
    bomb = gzip.compress(b" " * 20_000_000)
    answer = shared_server.api.request("POST", path, bomb, {**JSON, "Content-Encoding": coding})
    assert answer.status == 415
    assert answer.headers["accept-encoding"] == "identity"
    assert coding in answer.json["detail"]


def test_a_wrong_content_type_is_told_which_are_taken(shared_server: ServerProcess) -> None:
    api = shared_server.api
    for path, accepted in (
        ("/api/events", "application/json, application/cloudevents+json, "
                        "application/cloudevents-batch+json"),
        ("/api/rebuild", "application/json"),
        ("/api/events/import", "application/x-ndjson"),
    ):  # fmt: skip
        answer = api.request("POST", path, b"<a/>", {"Content-Type": "application/xml"})
        assert (answer.status, answer.headers["accept-post"]) == (415, accepted)


@pytest.mark.parametrize(
    "body",
    [
        b'{"type": "a.b", "type": "c.d"}',
        b'{"type": "a.b", "data": {"x": {"y": 1, "y": 2}}}',
        b'[{"type": "a.b"}, {"type": "a.b", "id": "1", "id": "2"}]',
    ],
)
def test_a_name_that_is_there_twice_is_refused(shared_server: ServerProcess, body: bytes) -> None:
    answer = shared_server.api.request("POST", "/api/events", body, JSON)
    assert answer.status == 400
    assert "twice" in answer.json["errors"][0]["detail"]


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("POST", "/api/events?dry_run=true"),
        ("POST", "/api/events?wait=handled&wait=handled"),
        ("POST", "/api/events/preview?wait=handled"),
        ("GET", "/api/stats?since=1h"),
        ("GET", "/api/queues?limit=1"),
        ("GET", "/healthz?x"),
    ],
)
def test_an_unknown_parameter_is_refused_and_nothing_is_recorded(
    shared_server: ServerProcess, method: str, path: str
) -> None:
    before = shared_server.api.get("/api/stats").json["sequence"]
    body = EVENT if method == "POST" else None
    answer = shared_server.api.request(method, path, body, JSON if body else {})
    assert answer.status == 400
    assert answer.headers["content-type"] == "application/problem+json"
    assert "parameter" in answer.json["errors"][0]
    assert shared_server.api.get("/api/stats").json["sequence"] == before


@pytest.mark.parametrize("body", [{"bye": "ann"}, {"by": 7}, {"by": ""}])
def test_an_unknown_or_wrong_member_of_a_small_body_is_refused(
    shared_server: ServerProcess, body: dict[str, object]
) -> None:
    answer = shared_server.api.post("/api/rebuild", body)
    assert answer.status == 400
    assert answer.json["errors"][0]["pointer"] == f"/{next(iter(body))}"


def test_a_websocket_that_is_asked_for_as_a_page_says_so(shared_server: ServerProcess) -> None:
    for path in ("/api/stream", "/api/subscriptions/report-writer/consume?type=a.*"):
        answer = shared_server.api.get(path)
        assert (answer.status, answer.headers["upgrade"]) == (426, "websocket")


def test_a_wrong_parameter_of_a_websocket_is_said_before_the_handshake(
    shared_server: ServerProcess,
) -> None:
    for path in ("/api/stream?typ=a.b", "/api/subscriptions/x/consume?type=a.*&foo=1"):
        answer, _ = handshake(shared_server.port, path)
        assert answer.status == 400
        assert "is not a parameter" in answer.json["detail"]


def test_what_is_accepted_changes_nothing_where_there_is_one_form(
    shared_server: ServerProcess,
) -> None:
    for accept in ("text/csv", "image/png;q=1", "*/*", "application/json", "garbage"):
        answer = shared_server.api.request("GET", "/api/stats", headers={"Accept": accept})
        assert answer.status == 200
        assert json.loads(answer.body)["sequence"] >= 0
